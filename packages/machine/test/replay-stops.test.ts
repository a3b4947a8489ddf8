/** Stops at ports, device memory, MSRs and exceptions: where they are hit forwards, they are hit backwards. */
import { DebugExit } from '@retrap/devices'
import { sliced } from '@retrap/tooling/slice'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type MachinePlace, type PcOptions, type ReplayStop, recordPc, replayPc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { Pieces } from './support/pieces.ts'
import * as G from './support/stop-guest.ts'

type Board = Pick<PcOptions, 'machine' | 'jit'>

const options = (board: Board, kernel: Uint8Array): PcOptions => ({
  memoryBytes: 5 << 20,
  codeCacheBytes: 1 << 20,
  clock: 'deterministic',
  ...board,
  kernel: kernel.slice(),
  devices: [new DebugExit({ iobase: G.EXIT_PORT }), ...G.lateModels()],
})

/** A stop, and the instruction that it belongs to. */
interface Found {
  readonly stop: ReplayStop
  readonly before: number
}

const ACCESSES: readonly string[] = ['port', 'mmio', 'msr']

/** Goes through a recorded run of a guest, forwards and backwards. */
async function bothWays(
  board: Board,
  kernel: Uint8Array,
  places: readonly MachinePlace[],
): Promise<Record<'forwards' | 'backwards', Found[]>> {
  const file = new Pieces()
  const recorder = await recordPc(options(board, kernel), file.write, { checkpointMs: Infinity })
  kept(recorder.pc)
  expect(await recorder.pc.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  const replay = kept(await replayPc(options(board, kernel), file.source, { checkpointMs: Infinity }))
  const debug = await replay.debugger()
  for (const place of places) debug.stopAt(place)
  const forwards: Found[] = []
  for (;;) {
    const stop = await debug.continue()
    if (!('cpu' in stop)) {
      expect(stop).toMatchObject({ reason: 'debug-exit' })
      break
    }
    const repeats = replay.pc.domain.vcpus[stop.cpu]!.cpu.repeats
    const isOver = ACCESSES.includes(stop.reason) && !repeats
    forwards.push({ stop, before: debug.instructions - (isOver ? 1 : 0) })
  }
  expect(debug.instructions).toBe(recorder.instructions)
  const backwards: Found[] = []
  for (;;) {
    const stop = await debug.reverseContinue()
    if (!('cpu' in stop)) {
      expect(stop).toEqual({ reason: 'begin' })
      break
    }
    backwards.push({ stop, before: debug.instructions })
  }
  return { forwards, backwards }
}

const EVERYWHERE: readonly MachinePlace[] = [
  { kind: 'port', address: G.PORTS, count: 4 },
  { kind: 'port', address: 0x21 },
  { kind: 'port', address: 0x80, access: 'write' },
  { kind: 'mmio', address: G.DEVICE, count: 64 },
  { kind: 'mmio', address: G.APIC + 0x80, count: 4, access: 'write' },
  { kind: 'msr', address: G.MSR },
  { kind: 'handler', vector: G.PAGE_FAULT },
  { kind: 'fault', vector: G.INVALID_OPCODE },
]

const BOARDS: readonly Board[] = [
  { machine: 'pc', jit: false },
  { machine: 'pc', jit: true },
  { machine: 'q35', jit: true },
  { machine: 'q35', jit: false },
]

/** Says what a stop is at; values are of the models and of the guest. */
function lineOf(stop: ReplayStop): string {
  if (stop.reason === 'fault' || stop.reason === 'handler') return `${stop.reason} ${stop.vector}`
  if (!('write' in stop)) return stop.reason
  return `${stop.reason} ${stop.address.toString(16)} ${stop.write ? 'write' : 'read'} ${stop.value}`
}

/** The parts in their order, REP and read-modify-write once each. The fault in REP MOVS comes behind what it has read by then. */
const EXPECTED = [
  'port e000 write 65',
  'port e001 read 1',
  'port 80 write 18',
  'port 21 read 248',
  'port e000 read 2',
  'port e000 write 2',
  'mmio fed90000 read 42',
  'mmio fed90004 write 2147483691',
  'mmio fed90008 read 43',
  'mmio fee00080 write 0',
  'mmio fed90000 read 44',
  'msr 175 read 0',
  'msr 175 write 1',
  'handler 14',
  'mmio fed90000 read 52',
  'handler 14',
  'mmio fed90008 read 54',
  'fault 6',
]

test.each(sliced(BOARDS, 4))(
  'on $machine, JIT $jit: each instruction is told of once, in both directions',
  async (board) => {
    const { forwards, backwards } = await bothWays(board, G.stopGuest(G.ALL_PARTS), EVERYWHERE)
    expect(forwards.map(({ stop }) => lineOf(stop))).toEqual(EXPECTED)
    expect(backwards.toReversed()).toEqual(forwards)
  },
)

test('what is hit forwards is hit backwards, whatever the guest does', async () => {
  const guest = fc.array(fc.constantFrom(...G.ALL_PARTS), { minLength: 1, maxLength: 4 })
  const places = fc.subarray(EVERYWHERE as MachinePlace[], { minLength: 3 })
  await fc.assert(
    fc.asyncProperty(
      guest,
      fc.integer({ min: 1, max: 2 }),
      places,
      fc.constantFrom(...BOARDS),
      async (parts, times, set, board) => {
        const { forwards, backwards } = await bothWays(board, G.stopGuest(parts, times), set)
        expect(backwards.toReversed()).toEqual(forwards)
      },
    ),
    { numRuns: 2 },
  )
})
