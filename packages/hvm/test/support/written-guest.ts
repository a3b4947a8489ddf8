/** A guest whose RAM is written in all ways, before an instant and after it. */
import { defineDevice, type DeviceDma } from '@retrap/device'
import { al, dword, ecx } from '@retrap/x86-assembler'
import { GuestRecord } from '../../src/x86/vapic/domain-vapic.ts'
import { EXIT_PORT, Guest } from './guest.ts'

export const PAGE = 4096
const PAUSE_PORT = 0x80
const ACT_PORT = 0x81
/** RAM behind the first MiB: small leaves, and a large one. */
export const FIRST = 0x100
export const COUNT = 0x300

export interface Made {
  readonly guest: Guest
  readonly dma: DeviceDma
}

/** A guest that writes two frames often, pauses, writes them and a third one, and has a device do something. */
export function made(act: (made: Made) => void, checkMappings = false): Made {
  const parts: { dma?: DeviceDma } = {}
  const model = defineDevice({
    name: 'writer',
    stateless: true,
    synchronous: true,
    ports: [
      { base: PAUSE_PORT, size: 1, write: () => guest.domain.stop({ reason: 'pause' }) },
      { base: ACT_PORT, size: 1, write: () => act(whole) },
    ],
    attach: (context) => {
      parts.dma = context.dma
    },
  })
  const guest = new Guest(
    (asm) => {
      // Often enough to be hot.
      asm.mov(ecx, 3000)
      const again = asm.here()
      asm.inc(dword(0x10_0000)).inc(dword(0x20_0ffe)).inc(dword(0x8000)).dec(ecx).jne(again)
      asm.out(PAUSE_PORT, al).mov(ecx, 3000)
      const after = asm.here()
      asm.inc(dword(0x10_0000)).inc(dword(0x20_0ffe)).inc(dword(0x30_0000)).inc(dword(0x8000)).dec(ecx).jne(after)
      asm.out(ACT_PORT, al).mov(al, 0).out(EXIT_PORT, al).hlt()
    },
    { devices: [model], checkMappings },
  )
  guest.domain.p2m.populate(FIRST, COUNT)
  const whole = { guest, dma: parts.dma! }
  for (let i = 0; i < COUNT; i += 2) guest.domain.guestMemory.write((FIRST + i) * PAGE + i, Uint8Array.of(i | 1))
  return whole
}

export const fresh = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0x77)

/** A party that writes RAM: its name, its act after the instant, and its act before the instant, which returns another act. */
export type Writer = [name: string, act: (made: Made) => void, before?: (made: Made) => () => void]

/** Parties that write RAM, for saves as for resets. */
export const WRITERS: readonly Writer[] = [
  ['nobody but the vCPU', () => undefined],
  ['a copy', ({ dma }) => void dma.write(0x12_0ffc, fresh(8))],
  ['a copy over many frames', ({ dma }) => void dma.write(0x1f_8000, fresh(0x2_0000))],
  [
    'a mapping',
    ({ dma }) => {
      using mapping = dma.mapForWriting(0x1f_fff0, 32)
      for (const { bytes } of mapping.segments) bytes?.fill(0x55)
    },
  ],
  [
    'a mapping that was held before',
    () => undefined,
    ({ dma }) => {
      const mapping = dma.mapForWriting(0x1f_fff0, 32)
      return () => {
        for (const { bytes } of mapping.segments) bytes?.fill(0x55)
        mapping.release()
      }
    },
  ],
  ['a loader', ({ guest }) => void guest.domain.guestMemory.load(0x10_2000, fresh(PAGE))],
  [
    "a TPR record in the guest's memory",
    ({ guest: { domain } }) => new GuestRecord(domain.memory, domain.dirtyLogs, 0x16_0000).write(0x77),
  ],
  [
    'the next owner of frames that leave the guest and come back',
    ({ guest: { domain } }) => {
      const ma = domain.p2m.translate(0x10_4000)
      domain.p2m.remove(0x104, ma / PAGE)
      domain.p2m.populate(0x104, 1)
      domain.guestMemory.write(0x10_4000, fresh(PAGE))
    },
  ],
]
