/** Reports of the playground's Worker. The page does not trust them: it only displays them. */
export type Report =
  | { readonly kind: 'attached'; readonly names: readonly string[] }
  | { readonly kind: 'log'; readonly text: string }
  /** `line` counts from 1. */
  | { readonly kind: 'error'; readonly message: string; readonly line: number | null }

/** More is cut off. */
const MOST_CHARACTERS = 2000
const MOST_NAMES = 50

/** The message of an error without one, as of a Worker whose program is refused. */
const SILENT = 'This browser does not start the program of the devices.'

const cut = (text: string): string => text.slice(0, MOST_CHARACTERS)
/** Errors that are at no line have 0, or nothing. */
const isLine = (value: unknown): value is number => typeof value === 'number' && value > 0
const isText = (value: unknown): value is string => typeof value === 'string'

/** Parses a report; null for other data. */
export function readReport(data: unknown): Report | null {
  if (typeof data !== 'object' || data === null) return null
  const { kind, names, text, message, line } = data as Partial<Record<string, unknown>>
  if (kind === 'attached' && Array.isArray(names))
    return { kind, names: names.slice(0, MOST_NAMES).filter(isText).map(cut) }
  if (kind === 'log' && isText(text)) return { kind, text: cut(text) }
  if (kind === 'error')
    return {
      kind,
      message: isText(message) && message !== '' ? cut(message) : SILENT,
      line: isLine(line) ? line : null,
    }
  return null
}
