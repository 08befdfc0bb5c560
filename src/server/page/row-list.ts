import { make } from "./element.ts";

/** One row of what a reader got: a message, or something that befell it. */
export interface Row {
  readonly lead: string;
  readonly text: string;
  /** A class of the stylesheet; empty for a message. */
  readonly kind: string;
}

export interface RowList {
  readonly element: HTMLElement;
  add(row: Row): void;
  clear(empty: string): void;
  /** Writes what was added since. Once a frame: a burst of thousands costs one layout. */
  draw(): void;
}

const ROWS_MAX = 120;

/** The last rows, which follow what comes unless the person has scrolled up. */
export function createRowList(label: string): RowList {
  const element = make("div", "rows");
  element.tabIndex = 0;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", label);
  let added: Row[] = [];
  let placeholder: HTMLElement | null = null;

  return {
    element,
    add(row) {
      added.push(row);
      if (added.length > ROWS_MAX) added.shift();
    },
    clear(empty) {
      added = [];
      placeholder = make("p", "empty", empty);
      element.replaceChildren(placeholder);
    },
    draw() {
      if (added.length === 0) return;
      placeholder?.remove();
      placeholder = null;
      const follows = element.scrollTop + element.clientHeight >= element.scrollHeight - 24;
      element.append(...added.map(toElement));
      added = [];
      const surplus = element.childElementCount - ROWS_MAX;
      for (let index = 0; index < surplus; index++) element.firstElementChild?.remove();
      if (follows) element.scrollTop = element.scrollHeight;
    },
  };
}

function toElement({ lead, text, kind }: Row): HTMLElement {
  const row = make("div", kind === "" ? "row" : `row ${kind}`);
  row.append(make("span", "lead", lead), make("span", "text", text));
  return row;
}
