import { expect, test } from "vitest";
import { commandName } from "./command-name.ts";

test("the command is called as it was called", () => {
  expect(commandName("/srv/app/node_modules/.bin/throughline", "/srv/app")).toBe("npx throughline");
  expect(commandName("/var/cache/_npx/1f/node_modules/.bin/throughline", "/srv")).toBe("npx throughline");
  expect(commandName("/usr/local/bin/throughline", "/srv")).toBe("throughline");
  expect(commandName("/srv/throughline/bin/throughline.js", "/srv/throughline")).toBe("node bin/throughline.js");
  expect(commandName("/srv/my app/bin/throughline.js", "/srv")).toBe("node 'my app/bin/throughline.js'");
  expect(commandName(undefined, "/srv")).toBe("npx throughline");
});
