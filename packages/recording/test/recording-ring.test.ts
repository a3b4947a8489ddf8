/** A recording in memory whose oldest past is dropped: what is left is read as before, there and in a file of its own. */
import { PAGE_BYTES } from '@retrap/snapshot'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CheckpointStore, openRecording, type Recording, RecordingRing, RecordingWriter } from '../src/index.ts'

/** A page that is told by a number; 0 is zeros. */
const page = (value: number): Uint8Array =>
  new Uint8Array(PAGE_BYTES).map((_, i) => (value === 0 ? 0 : Math.imul(i + value, 0x9e37_79b1) >>> 13))

interface ModelEvent {
  readonly instructions: number
  readonly pages: readonly number[]
}

interface ModelCheckpoint {
  readonly instructions: number
  readonly memory: ReadonlyMap<number, number>
  /** Events in front of it. */
  readonly events: number
}

/** A recording in a ring beside a plain model of it. */
class Recorded {
  readonly ring = new RecordingRing(1 << 20)
  readonly writer = new RecordingWriter(this.ring.write, { is: 'a test' })
  readonly store = new CheckpointStore<number>()
  events: ModelEvent[] = []
  checkpoints: ModelCheckpoint[] = []
  dropped = 0
  #now = 0

  append(pages: readonly number[]): void {
    const instructions = ++this.#now
    const body = new Uint8Array(Buffer.concat(pages.map(page)))
    this.writer.add('answer', { round: instructions, instructions }, 0, Uint8Array.of(7), body)
    if (instructions % 3 === 0) this.writer.mark({ round: instructions, instructions }, `mark ${instructions}`)
    this.events.push({ instructions, pages })
  }

  checkpoint(written: readonly (readonly [gfn: number, value: number])[]): void {
    const instructions = ++this.#now
    const last = this.checkpoints.at(-1)?.memory ?? new Map<number, number>()
    const changed = new Map(written)
    const draft = this.store.draft()
    for (const [gfn, value] of changed) draft.add(gfn, page(value), value === 0 ? -1 : 0)
    this.store.add({ round: instructions, instructions }, { instructions }, draft, this.writer.segment())
    const memory = new Map([...new Map([...last, ...changed])].filter(([, one]) => one !== 0))
    this.checkpoints.push({ instructions, memory, events: this.events.length })
  }

  /** Drops what is before one of the checkpoints. */
  drop(which: number): void {
    const at = this.checkpoints[which % Math.max(1, this.checkpoints.length)]
    if (at === undefined) return
    const piece = this.store.dropBefore({ round: at.instructions, instructions: at.instructions })
    this.writer.dropBefore(piece!, this.ring.drop)
    this.checkpoints = this.checkpoints.filter(({ instructions }) => instructions >= at.instructions)
    this.dropped = Math.max(this.dropped, at.events)
  }

  get #end() {
    return { round: this.#now, instructions: this.#now }
  }

  /** Reads it as it is now, while it is written. */
  async read(): Promise<Recording> {
    return openRecording({ bytes: Infinity, read: this.ring.read }, await this.writer.soFar(this.#end))
  }

  /** A file of it. */
  async file(): Promise<Uint8Array> {
    const end: Uint8Array[] = []
    const copy = await this.writer.copy((bytes) => void end.push(bytes.slice()))
    await copy.addCheckpoints(this.store)
    await copy.end(this.#end)
    return new Uint8Array(Buffer.concat([...this.ring.parts, ...end]))
  }

  async check(): Promise<void> {
    const file = await this.file()
    const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
    const copied = await openRecording(source)
    const live = await this.read()
    for (const recording of [live, copied]) {
      expect(recording.firstPiece).toBe(this.writer.firstPiece)
      expect(recording.pieces).toBe(this.writer.pieces)
      expect(await eventsOf(recording)).toEqual(this.events.slice(this.dropped))
      const left = this.events[this.dropped]?.instructions ?? Infinity
      expect(recording.marks.every(({ instructions }) => instructions >= left)).toBe(true)
    }
    expect(copied.isCut).toBe(false)
    expect(copied.checkpoints.map(({ instructions }) => instructions)).toEqual(
      this.checkpoints.map(({ instructions }) => instructions),
    )
    for (const [i, { memory, instructions }] of this.checkpoints.entries()) {
      const ofModel = [...memory].sort(([a], [b]) => a - b)
      for (const found of [await copied.checkpoint(i), this.store.read(i)]) {
        expect(found.state).toEqual({ instructions })
        expect([...found.gfns]).toEqual(ofModel.map(([gfn]) => gfn))
        for (const [index, [, value]] of ofModel.entries()) expect(found.contents(index)).toEqual(page(value))
      }
    }
  }
}

/** The events of what is left, with their pages. */
async function eventsOf(recording: Recording): Promise<ModelEvent[]> {
  const known = new Map(Array.from({ length: 13 }, (_, value) => [Buffer.from(page(value)).toString('base64'), value]))
  const found: ModelEvent[] = []
  for (let piece = recording.firstPiece; piece < recording.pieces; piece++)
    for (const { kind, instructions, body } of await recording.events(piece)) {
      if (kind === 'mark') continue
      const bytes = new Uint8Array(body!.bytes)
      await recording.readBody(body!, bytes)
      const pages = Array.from({ length: bytes.length / PAGE_BYTES }, (_, i) =>
        known.get(Buffer.from(bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)).toString('base64')),
      )
      found.push({ instructions, pages: pages as number[] })
    }
  return found
}

const value = fc.nat(12)
const action = fc.oneof(
  { weight: 5, arbitrary: fc.record({ append: fc.array(value, { maxLength: 20 }) }) },
  { weight: 3, arbitrary: fc.record({ checkpoint: fc.array(fc.tuple(fc.nat(8), value), { maxLength: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ drop: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.constant({ check: true } as const) },
)

describe('a recording whose oldest past is dropped', () => {
  test('has all that is left, as it is written and in a file', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 40 }), async (actions) => {
        const recorded = new Recorded()
        for (const one of actions)
          if ('append' in one) recorded.append(one.append)
          else if ('checkpoint' in one) recorded.checkpoint(one.checkpoint)
          else if ('drop' in one) recorded.drop(one.drop)
          else await recorded.check()
        await recorded.check()
      }),
      { numRuns: 25 },
    )
  })

  test('gives its memory back', async () => {
    const recorded = new Recorded()
    recorded.checkpoint([[1, 1]])
    for (let i = 0; i < 100; i++) recorded.append(Array.from({ length: 12 }, (_, n) => 1 + n + i * 12))
    recorded.checkpoint([[1, 2]])
    await recorded.writer.settled()
    const before = [recorded.ring.bytes, recorded.store.bytes]
    recorded.drop(1)
    await recorded.writer.settled()
    expect(before[0]).toBeGreaterThan(100_000)
    expect(recorded.ring.bytes).toBeLessThan(1000)
    expect(recorded.store.bytes).toBeLessThan(before[1]!)
    // What was dropped is not there, and no other bytes are in its place.
    expect(recorded.ring.read(2000, 16)).toHaveLength(0)
    const recording = await recorded.read()
    await expect(recording.events(0)).rejects.toMatchObject({ code: 'ERR_STATE' })
    const gone = { bytes: PAGE_BYTES, runs: [1, 1] }
    await expect(recording.readBody(gone, new Uint8Array(PAGE_BYTES))).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
    expect(() => recorded.writer.dropBefore(0, recorded.ring.drop)).toThrow(/piece 0: no segment begins there/)
  })
})
