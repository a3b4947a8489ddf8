// The page's own code that records machines and opens recordings: it runs without a browser, and is not typed without one.
import type { Pc, PcOptions } from '@retrap/machine'

/** The part of `TravelledRun` that is used. */
export interface PageRun {
  readonly live: Pc | null
  readonly begin: number
  readonly now: number
  mark(name: string): void
  file(): Promise<Blob>
  close(): void
}

/** The part of `RecordedMachine` that is used. */
export interface PageMachine {
  seen(): Promise<Pc>
  readonly run: { readonly history: { consoleOf(pc: Pc): Uint8Array } }
  travel(way: { readonly to: number | 'now' }): Promise<unknown>
  close(): void
}

interface Snapshot {
  onClock(isRecorded: boolean): Pick<PcOptions, 'snapshot'>
}

interface Page {
  recordedRun(options: PcOptions, page: object): Promise<PageRun>
  openRecordingFile(file: Blob): Promise<{ readonly options: PcOptions }>
  replayedRun(options: PcOptions, opened: unknown): Promise<PageRun>
  readonly RecordedMachine: new (run: PageRun, onHit: () => void) => PageMachine
  takenNow(pc: Pc, console: Uint8Array): Promise<Snapshot>
}

const fileOf = (name: string): string => new URL(`../../../../../packages/web/src/worker/${name}`, import.meta.url).href

export async function loadPage(): Promise<Page> {
  const files = await Promise.all(['travelled-runs.ts', 'recorded-machine.ts'].map((name) => import(fileOf(name))))
  return Object.assign({}, ...files) as Page
}
