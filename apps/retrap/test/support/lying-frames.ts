// Frames between a hypervisor and a device server whose fields are true, at the edges, or nonsense.
import { encodeFrame, type Frame, FRAMES, NO_VCPU } from '@retrap/device-hosting'
import { createIoRequest } from '@retrap/ioreq'
import type { Rng } from '@retrap/tooling/soak'

/** Kinds of fields, by what a sender that keeps to the protocol would put there. */
const FIELDS = {
  number: (rng: Rng) => rng.below(4),
  vcpu: (rng: Rng) => rng.pick([0, 0, 1, NO_VCPU]),
  word: (rng: Rng) => rng.u32(),
  flag: (rng: Rng) => rng.chance(),
  bits: (rng: Rng) => rng.below(32),
  irq: (rng: Rng) => rng.below(16),
  gpa: (rng: Rng) => rng.pick([0xa_0000, 0xb_0000, 0x8000, 0xc000_0000, 0xfee0_1000, 0x1_0000_0000]),
  offset: (rng: Rng) => rng.pick([0, 4096, 8192, 1]),
  length: (rng: Rng) => rng.pick([4, 4096, 1, 8192, 0x1_0000]),
  pages: (rng: Rng) => rng.pick([4096, 8192, 0x1_0000]),
  time: (rng: Rng) => ({
    lo: rng.pick([0, 1, 1e6, 2e7, 0xffff_ffff]),
    hi: rng.pick([0, 0, 0, 1, 0x20_0000, 0xffff_ffff]),
  }),
  text: (rng: Rng) => rng.pick(['x', '', 'registers', '__proto__', '\u{1f4a5}', 'x'.repeat(5000)]),
  state: (rng: Rng) => rng.pick(['{}', '', '{"devices":{}}', '{"devices":{"x":1},"version":7}', 'null', '[', '1e999']),
  bytes: (rng: Rng) => new Uint8Array(rng.pick([0, 1, 4, 4096, 100, 0x1_0000])).fill(rng.below(256)),
  ranges: (rng: Rng) =>
    Array.from({ length: rng.pick([1, 0, 2, 9, 300]) }, (): readonly [number, number] => {
      const first = rng.chance(1, 100) ? edge(rng) : rng.pick([0x100, 0xa_0000, 0xb_0000, 0x4000]) + rng.below(0x100)
      return [first, rng.chance(1, 100) ? edge(rng) : first + rng.pick([0xff, 0, 0xfff])]
    }),
  type: (rng: Rng) => rng.below(3),
  ioreq: (rng: Rng) => ({
    ...createIoRequest(),
    addressLo: rng.pick([0x100, 0x8000, 0x200, 0]) + rng.below(64),
    addressHi: rng.chance(1, 8) ? rng.u32() : 0,
    size: rng.pick([1, 2, 4, 8, 0, 3, 255]),
    count: rng.pick([1, 1, 1, 0, 64]),
    type: rng.pick([0, 1, 2, 7, 8, 15]),
    direction: rng.below(2),
    dataLo: rng.u32(),
  }),
} as const

type FieldKind = keyof typeof FIELDS

/** Fields that are more than their type says, by name. */
const NAMED: Readonly<Record<string, FieldKind>> = {
  ...{ vcpu: 'vcpu', irq: 'irq', flags: 'bits', type: 'type', state: 'state', result: 'state' },
  ...{
    gpa: 'gpa',
    address: 'gpa',
    offset: 'offset',
    lo: 'word',
    hi: 'word',
    data: 'word',
    requester: 'word',
    code: 'word',
  },
}
const TYPED = { u32: 'number', f64: 'number', u64: 'time' } as const

function kindOfField(name: string, type: string): FieldKind {
  if (name === 'length') return type === 'f64' ? 'pages' : 'length'
  return NAMED[name] ?? TYPED[type as keyof typeof TYPED] ?? (type as FieldKind)
}

const fieldsOf = (kind: Frame['kind']): [string, string][] => Object.entries(FRAMES[kind][1])
const ALL_KINDS = Object.keys(FRAMES) as Frame['kind'][]
/** Events have codes from 32 on. */
const FIRST_EVENT = 32
/** Most of them are wrong at any moment, or end the run. */
const SELDOM: readonly Frame['kind'][] = [
  ...(['answer', 'called', 'fault', 'ready', 'claim'] as const),
  ...(['ownMemory', 'placeMemory', 'freeMemory', 'powerOff', 'resetMachine', 'exit'] as const),
]
const EVENT_KINDS = ALL_KINDS.filter((kind) => FRAMES[kind][0] >= FIRST_EVENT && !SELDOM.includes(kind))
const COMMAND_KINDS = ALL_KINDS.filter((kind) => FRAMES[kind][0] < FIRST_EVENT && kind !== 'message')

/** What a device server says first: what it claims, and interrupt lines and memories for what it says later. */
export const introduction = (device: string): readonly Frame[] => [
  { kind: 'wantFrames' },
  ...[0, 1, 2, 3].map((line) => ({ kind: 'openLine', line, irq: 4 + line }) as const),
  ...[0, 1, 2, 3].map((memory) => {
    const flags = [0, 2, 5, 16][memory] ?? 0
    return { kind: 'ownMemory', call: 0, memory, device, name: `m${memory}`, length: 0x1_0000, flags } as const
  }),
  { kind: 'placeMemory', placement: 9, memory: 1, gpa: 0xb_0000, offset: 0, length: 0x2000 },
  { kind: 'claim', type: 0, ranges: [[0x100, 0x1ff]], buffered: [] },
  {
    kind: 'claim',
    type: 1,
    ranges: [
      [0xa_0000, 0xa_7fff],
      [0xa_8000, 0xa_8fff],
    ],
    buffered: [[0xa_8000, 0xa_8fff]],
  },
  { kind: 'ready', name: 'liar' },
]

/** A number at which arithmetic or a table ends. */
function edge(rng: Rng): number {
  return rng.pick([
    ...[0, 1, 7, 8, 63, 64, 0xff, 0x100, 0xfff, 0x1001, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff],
    ...[2 ** 32, 2 ** 40, 2 ** 52, 2 ** 53, 2 ** 64, 1e308, -1, -4096, 0.5, 4096.5, 5e-324],
    ...[NaN, Infinity, -Infinity, -0],
  ])
}

/**
 * One frame of the given kind.
 *
 * @param truth - one number of so many is no true one; 0: all are
 */
export function frameOf(rng: Rng, kind: Frame['kind'], truth = 8): Frame {
  const frame: Record<string, unknown> = { kind }
  for (const [name, type] of fieldsOf(kind)) {
    const value: unknown = FIELDS[kindOfField(name, type)](rng)
    frame[name] = typeof value === 'number' && truth > 0 && rng.chance(1, truth) ? edge(rng) : value
  }
  return frame as unknown as Frame
}

/** A frame that a device server (`event`) or a hypervisor (`command`) sends, or now and then one of the other side's. */
export function anyFrame(rng: Rng, side: 'event' | 'command', truth = 8): Frame {
  if (truth > 0 && rng.chance(1, 5 * truth)) return frameOf(rng, rng.pick(ALL_KINDS), truth)
  if (side === 'event' && rng.chance(1, 30)) return frameOf(rng, rng.pick(SELDOM), truth)
  return frameOf(rng, rng.pick(side === 'event' ? EVENT_KINDS : COMMAND_KINDS), truth)
}

/** A frame's bytes without the length, which a packet has. */
export function frameBytes(frame: Frame): Uint8Array {
  return encodeFrame(frame).subarray(4)
}
