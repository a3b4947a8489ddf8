/**
 * Keys of the forms that are inlined in the interpreter's main function, most frequent first; see `formKey`.
 *
 * Chosen by counting what Debian's kernel executes from its entry to a shell, and by keeping the main function under the
 * size that V8 optimises quickly (engine.md).
 */
export const HOT_FORMS: ReadonlySet<string> = new Set([])
