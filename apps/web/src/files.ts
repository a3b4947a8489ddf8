/** A file's size, for people. */
export const sizeOf = (bytes: number): string =>
  bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** Gives a file to the user. */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** The text that this browser keeps by a name; null: there is none; undefined: the browser keeps no texts. */
export function kept(name: string): string | null | undefined {
  try {
    return localStorage.getItem(name)
  } catch {
    return undefined
  }
}

/** Has this browser keep a text, where it keeps anything. */
export function keep(name: string, text: string): void {
  try {
    localStorage.setItem(name, text)
  } catch {
    // As in some private windows.
  }
}

/** Before the title of a system, the name of the time from the click to its prompt, in this browser. */
const PREFIX = 'retrap-start '
let begun: { readonly title: string; readonly at: number } | null = null

export function timeStart(title: string): void {
  begun = { title, at: performance.now() }
}

/** Records that the started system shows its prompt. */
export function timePrompt(): void {
  if (begun === null) return
  keep(PREFIX + begun.title, String(performance.now() - begun.at))
  begun = null
}

/** Milliseconds that a system took the last time; null: unknown. */
export function startedIn(title: string): number | null {
  const ms = Number(kept(PREFIX + title))
  return ms > 0 ? ms : null
}
