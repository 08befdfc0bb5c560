/** A canvas that is as large as its box, sharp on every screen, in the colours of the stylesheet. */
export interface Surface {
  readonly element: HTMLCanvasElement;
  /** Calls with a cleared context, in CSS pixels. Nothing while the canvas has no size. */
  draw(paint: (context: CanvasRenderingContext2D, width: number, height: number, color: (name: string) => string) => void): void;
}

export function createSurface(className: string): Surface {
  const element = document.createElement("canvas");
  element.className = className;
  const context = element.getContext("2d");
  let width = 0;
  let height = 0;
  let font = "";
  let colors = new Map<string, string>();
  new ResizeObserver(([entry]) => {
    if (entry === undefined) return;
    width = entry.contentRect.width;
    height = entry.contentRect.height;
    element.width = Math.round(width * devicePixelRatio);
    element.height = Math.round(height * devicePixelRatio);
    font = `10.5px ${getComputedStyle(element).fontFamily}`;
  }).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colors = new Map();
  });

  function color(name: string): string {
    let value = colors.get(name);
    if (value === undefined) {
      value = getComputedStyle(element).getPropertyValue(`--${name}`).trim();
      colors.set(name, value);
    }
    return value;
  }

  return {
    element,
    draw(paint) {
      if (context === null || width === 0) return;
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, width, height);
      context.font = font;
      context.textBaseline = "top";
      paint(context, width, height, color);
    },
  };
}

/** Calls so many times a second, while the page is seen. With reduced motion once a second: nothing glides. */
export function everyFrame(act: () => void): void {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let lastMs = 0;
  const frame = (nowMs: number): void => {
    requestAnimationFrame(frame);
    if (nowMs - lastMs < (calm.matches ? 1_000 : 48)) return;
    lastMs = nowMs;
    act();
  };
  requestAnimationFrame(frame);
}
