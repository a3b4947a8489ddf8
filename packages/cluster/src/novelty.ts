import { readReport } from './reports.ts'
import type { ClusterEvent } from './result.ts'

/** The most characters of a shape: longer lines differ in their ends only. */
const MOST_SHAPE = 200

/** Numbers, and words of hexadecimal digits with a decimal one in them: ids and checksums. */
const NUMBERS = /0x[0-9a-f]+|\b[0-9a-f]*[0-9][0-9a-f]*\b|[0-9]+/gi

/** The shape of a line: what is left without its numbers. */
export const shapeOf = (text: string): string => text.slice(0, MOST_SHAPE).replaceAll(NUMBERS, '#')

/** The sorts of events that programs bring about. */
const HEARD: ReadonlySet<string> = new Set(['output', 'report', 'ended', 'machine'])

/**
 * Hears a branch, or a stretch. `reached` tells which shapes of lines, edges between two that follow each other on a machine, and numbers of
 * `explore` came first when.
 *
 * @param before - the last shape of each machine, of `last`
 */
export function shapesOf(before: ReadonlyMap<string, string> = new Map()): {
  readonly hear: (event: ClusterEvent) => void
  readonly reached: () => (readonly [what: string, ns: number])[]
  readonly last: ReadonlyMap<string, string>
} {
  const first = new Map<string, number>()
  const last = new Map(before)
  const note = (what: string, ns: number): void => void (first.has(what) || first.set(what, ns))
  return {
    hear: ({ ns, kind, machine = '', text }) => {
      if (!HEARD.has(kind)) return
      // Machines of a kind are alike.
      // A number that a program explores counts by itself.
      const isNumber = kind === 'report' && readReport(text)?.kind === 'explore'
      const shape = `${shapeOf(machine)} ${kind} ${isNumber ? text : shapeOf(text)}`
      note(shape, ns)
      note(`${last.get(machine) ?? ''}\n${shape}`, ns)
      last.set(machine, shape)
    },
    reached: () => [...first],
    last,
  }
}

/** Keeps in mind what branches have reached. */
export class Novelty {
  readonly #known = new Set<string>()

  /** Takes note of a branch. @returns the instants at which it has reached something new */
  news(reached: readonly (readonly [what: string, ns: number])[]): number[] {
    const found = reached.filter(([what]) => !this.#known.has(what))
    for (const [what] of found) this.#known.add(what)
    return found.map(([, ns]) => ns)
  }
}
