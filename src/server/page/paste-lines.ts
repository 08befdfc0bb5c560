import { find, setText } from "./element.ts";

/** What the command listens on unless it is told. */
const DEFAULT_ORIGIN = "http://127.0.0.1:4400";
const COPIED_MS = 1_500;

/** Lines for a terminal that do something with the channel that is being read. Returns what names another channel in them. */
export function openPasteLines(): (channel: string) => void {
  const command = document.querySelector<HTMLMetaElement>('meta[name="throughline-command"]')?.content ?? "npx throughline";
  const origin = location.origin.replace("//localhost:", "//127.0.0.1:");
  const url = origin === DEFAULT_ORIGIN ? "" : ` --url ${origin}`;
  for (const button of document.querySelectorAll<HTMLButtonElement>("button.copy")) {
    const line = find(button.dataset["copy"] as string);
    button.addEventListener("click", () => copy(button, line));
  }
  return (channel) => {
    setText(find("read-line"), `curl -N ${origin}/channels/${channel}`);
    setText(find("publish-line"), `echo hello | ${command} pub ${channel}${url}`);
    setText(find("pipe-line"), `tail -F app.log | ${command} pub logs/app${url}`);
  };
}

async function copy(button: HTMLButtonElement, line: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(line.textContent ?? "");
    setText(button, "Copied");
  } catch {
    getSelection()?.selectAllChildren(line);
    setText(button, "Selected");
  }
  setTimeout(() => setText(button, "Copy"), COPIED_MS);
}
