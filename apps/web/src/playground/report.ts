/** What the playground's Worker tells the page. It is not trusted: the page shows it, and does nothing else with it. */
export type Report =
  | { readonly kind: 'attached'; readonly names: readonly string[] }
  | { readonly kind: 'log'; readonly text: string }
  /** `line` counts from 1. */
  | { readonly kind: 'error'; readonly message: string; readonly line: number | null }

/** A report, as far as it is one. */
export function readReport(data: unknown): Report | null {
  if (typeof data !== 'object' || data === null) return null
  const { kind, names, text, message, line } = data as Partial<Record<string, unknown>>
  if (kind === 'attached' && Array.isArray(names)) return { kind, names: names.map(String) }
  if (kind === 'log' && typeof text === 'string') return { kind, text }
  if (kind === 'error' && typeof message === 'string')
    return { kind, message, line: typeof line === 'number' ? line : null }
  return null
}
