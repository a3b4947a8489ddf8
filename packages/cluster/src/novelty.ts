import type { ClusterEvent } from './result.ts'

/** The most characters of a shape: longer lines differ in their ends only. */
const MOST_SHAPE = 200

/** Numbers, and words of hexadecimal digits with a decimal one in them: ids and checksums. */
const NUMBERS = /0x[0-9a-f]+|\b[0-9a-f]*[0-9][0-9a-f]*\b|[0-9]+/gi

/** The shape of a line: what is left without its numbers. */
export const shapeOf = (text: string): string => text.slice(0, MOST_SHAPE).replaceAll(NUMBERS, '#')

/** The sorts of events that programs bring about. */
const HEARD: ReadonlySet<string> = new Set(['output', 'report', 'ended', 'machine'])

/** Hears a branch. `reached` tells which shapes of lines, and edges between two that follow each other on a machine, came first when. */
export function shapesOf(): {
  readonly hear: (event: ClusterEvent) => void
  readonly reached: () => (readonly [what: string, ns: number])[]
} {
  const first = new Map<string, number>()
  const last = new Map<string, string>()
  const note = (what: string, ns: number): void => void (first.has(what) || first.set(what, ns))
  return {
    hear: ({ ns, kind, machine = '', text }) => {
      if (!HEARD.has(kind)) return
      // Machines of a kind are alike.
      const shape = `${shapeOf(machine)} ${kind} ${shapeOf(text)}`
      note(shape, ns)
      note(`${last.get(machine) ?? ''}\n${shape}`, ns)
      last.set(machine, shape)
    },
    reached: () => [...first],
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
