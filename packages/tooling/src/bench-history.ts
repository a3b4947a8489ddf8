// Comparisons of benches over time: `npm run -s bench -- NAME --record FILE` keeps them for the page of figures.

/** One comparison from one run. */
export interface Comparison {
  /** Time of the bench's end, as ISO 8601 with seconds. */
  readonly date: string
  /** The commit that was measured, 12 hexadecimal digits. */
  readonly commit: string
  /** The processor and the version of Node. */
  readonly host: string
  /** The name in front of the colon: a bench, or a part of it. */
  readonly bench: string
  /** Name of the program compared with. */
  readonly peer: string
  /** The peer's time or size, divided by retrap's. */
  readonly ratio: number
  /** The workload, without the figures of the run; may be empty. */
  readonly what: string
}

/** A bench's line of output: `NAME: R x PEER (measured quantity, with figures)`. */
const LINE = /^([\w-][\w -]*): (\d+(?:\.\d+)?) x (.+?) \((.*)\)$/

/** A figure of the run, which differs each night. */
const MEASURED = /\d (?:ns|us|µs|ms|s|MIPS|million|thousand|%)(?: |$)|\d%/

/** A history keeps a year of nights of each comparison. */
export const MOST_RUNS = 366

/**
 * The comparisons of a bench's output. Other lines are left out.
 *
 * @param run - facts common to all comparisons
 */
export function comparisonsOf(
  output: string,
  run: Pick<Comparison, 'date' | 'commit' | 'host'>,
): readonly Comparison[] {
  return output.split('\n').flatMap((line) => {
    const [, bench = '', ratio = '', peer = '', measured = ''] = LINE.exec(line.trim()) ?? []
    if (bench === '') return []
    const parts = measured.split(', ')
    const figures = parts.findIndex((part) => MEASURED.test(part))
    const what = parts.slice(0, figures < 0 ? undefined : figures).join(', ')
    return [{ ...run, bench, peer, ratio: Number(ratio), what }]
  })
}

/** Groups the comparisons of a history, oldest first, by subject and peer. */
export function seriesOf(history: readonly Comparison[]): ReadonlyMap<string, readonly Comparison[]> {
  const sorted = history.toSorted((a, b) => Date.parse(a.date) - Date.parse(b.date))
  return Map.groupBy(sorted, ({ bench, peer, what }) => JSON.stringify([bench, peer, what]))
}

/** A history with the comparisons of one more run, and of each series the last {@link MOST_RUNS}. */
export function withRun(history: readonly Comparison[], run: readonly Comparison[]): readonly Comparison[] {
  return [...seriesOf([...history, ...run]).values()].flatMap((series) => series.slice(-MOST_RUNS))
}
