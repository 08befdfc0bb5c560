/** Whatever an application threw, as text for the operator. Not everything can be made a text: an object without a prototype throws in its turn. */
export function textOfThrown(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return "it threw what cannot be shown.";
  }
}
