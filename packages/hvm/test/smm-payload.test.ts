/**
 * A payload whose SMI handler is what firmware has one for: each vCPU moves its SMBASE, counts its SMIs, and makes I/O
 * instructions again whose device was asleep. The device takes its time, in the handler too.
 */
import { defineDevice, type DeviceContext } from '@retrap/device'
import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, type X86Vcpu } from '../src/index.ts'
import { EXIT_PORT, Guest, PROTECTED, STACK, realClock } from './support/guest.ts'

const FIRST_BASE = 0x3_0000
/** SMBASE of a vCPU after its first SMI. */
const baseOf = (id: number): number => 0x4_0000 + id * 0x1_0000
const SECOND = 0x2_0000
const APIC_ID = 0xfee0_0020
const ICR = 0xfee0_0300
const SMI_TO_SELF = (1 << 18) | (2 << 8)
/** A port for each vCPU: data, and at 8 more a write that wakes the device. */
const PORT = 0x90
const RESULTS = 0x5000
const ROUNDS = 4
const TEXT = 0x6000
const BYTES = 5
/** SMRAM: SMIs, and I/O instructions that were made again. */
const SMIS = 0x7000
const RESTARTS = 0x7002

/** How a model takes its time. */
type Pace = 'at once' | 'microtasks' | 'turns of the event loop'

async function pause(pace: Pace): Promise<void> {
  if (pace === 'microtasks') for (let i = 0; i < 3; i++) await Promise.resolve()
  else await new Promise((resolve) => void setImmediate(resolve))
}

/** Sleeps before each access to its data: the access does nothing but raise SMI. */
function sleeper(pace: Pace, log: string[]) {
  let context: DeviceContext
  const awake = [false, false]
  const touch = (vcpu: number, what: string): boolean => {
    const ready = awake[vcpu] as boolean
    log.push(`${vcpu} ${what}${ready ? '' : ' asleep'}`)
    if (!ready) context.signalMsi(0xfee0_0000 + vcpu * 0x1000, 2 << 8)
    awake[vcpu] = false
    return ready
  }
  const read = (offset: number): number => (touch(offset, 'in') ? 0x42 + offset : 0xff)
  const write = (offset: number, value: number): void => {
    if (offset >= 8) awake[offset - 8] = true
    else touch(offset, `out ${value.toString(16)}`)
  }
  return defineDevice({
    name: 'sleeper',
    synchronous: pace === 'at once',
    ports: { base: PORT, size: 16 },
    attach: (given) => {
      context = given
    },
    read: pace === 'at once' ? read : async (offset) => (await pause(pace), read(offset)),
    write:
      pace === 'at once'
        ? (offset, _size, value) => write(offset, value)
        : async (offset, _size, value) => (await pause(pace), write(offset, value)),
  })
}

function handler(): Uint8Array {
  const asm = new x86.Assembler({ bits: 16, address: 0x8000 })
  const done = asm.label()
  asm.mov(x86.ax, x86.cs).mov(x86.ds, x86.ax).inc(x86.word(SMIS))
  asm
    .mov(x86.esi, APIC_ID)
    .mov(x86.ecx, x86.dword(x86.esi, { segment: x86.es }))
    .mov(x86.ebx, x86.ecx)
    .shr(x86.ebx, 24)
  asm.mov(x86.eax, x86.ebx).shl(x86.eax, 16).add(x86.eax, 0x4_0000).mov(x86.dword(0xfef8), x86.eax)
  // The I/O state: after an access of this vCPU's port the device is woken, and the instruction is made again.
  asm
    .mov(x86.eax, x86.dword(0xffa4))
    .test(x86.al, 1)
    .jz(done)
    .shr(x86.eax, 16)
    .mov(x86.edx, x86.eax)
    .add(x86.ebx, PORT)
    .cmp(x86.eax, x86.ebx)
    .jnz(done)
  asm.add(x86.edx, 8).out(x86.dx, x86.al).mov(x86.byte(0xff00), 0xff).inc(x86.word(RESTARTS)).bind(done).rsm()
  return asm.assemble().bytes
}

/** What each vCPU does. */
function program(asm: x86.Assembler, id: number): x86.Assembler {
  asm
    .mov(x86.dword(ICR), SMI_TO_SELF)
    .mov(x86.edi, RESULTS + 0x100 * id)
    .mov(x86.edx, PORT + id)
  const again = asm.mov(x86.bl, ROUNDS).here()
  asm.in(x86.al, x86.dx).mov(x86.byte(x86.edi), x86.al).inc(x86.edi).dec(x86.bl).jnz(again)
  asm.mov(x86.esi, TEXT).mov(x86.ecx, BYTES).cld().rep().outsb().mov(x86.ecx, BYTES).rep().insb()
  return asm.mov(x86.byte(RESULTS + 0x100 * id + 0x80), 1)
}

describe.each([
  { time: 'deterministic', clock: () => new DeterministicClock() },
  { time: 'real', clock: () => realClock() },
])('on $time time', ({ clock }) => {
  test.each<{ pace: Pace }>([{ pace: 'at once' }, { pace: 'microtasks' }, { pace: 'turns of the event loop' }])(
    'a device that answers: $pace',
    async ({ pace }) => {
      const log: string[] = []
      const guest = new Guest(
        (asm) => {
          // The second vCPU waits until the first has moved its SMBASE.
          program(asm, 0)
          const wait = asm.here()
          asm
            .pause()
            .cmp(x86.byte(RESULTS + 0x180), 1)
            .jnz(wait)
            .mov(x86.al, 1)
            .out(EXIT_PORT, x86.al)
            .hlt()
        },
        { clock: clock(), vcpus: 2, devices: [sleeper(pace, log)] },
      )
      for (const base of [FIRST_BASE, baseOf(0), baseOf(1)]) guest.domain.guestMemory.load(base + 0x8000, handler())
      guest.domain.guestMemory.load(TEXT, Uint8Array.of(1, 2, 3, 4, 5))
      guest.program(SECOND, 32, (asm) => {
        const wait = asm.here()
        asm
          .pause()
          .cmp(x86.byte(FIRST_BASE + SMIS), 1)
          .jnz(wait)
        program(asm, 1).hlt()
      })
      const other = guest.domain.vcpus[1] as X86Vcpu
      other.cpu.load({ ...PROTECTED, registers: { rip: SECOND, rsp: STACK - 0x1000, rflags: 2 } })
      expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })

      const accesses = (id: number): string[] => log.filter((line) => line.startsWith(`${id} `))
      const twice = (what: string): string[] => [`${what} asleep`, what]
      for (const id of [0, 1]) {
        expect(accesses(id)).toEqual([
          ...Array.from({ length: ROUNDS }, () => twice(`${id} in`)).flat(),
          ...[1, 2, 3, 4, 5].flatMap((value) => twice(`${id} out ${value}`)),
          ...Array.from({ length: BYTES }, () => twice(`${id} in`)).flat(),
        ])
        const results = new Uint8Array(ROUNDS + BYTES)
        guest.domain.guestMemory.read(RESULTS + 0x100 * id, results)
        expect([...results]).toEqual(new Array(ROUNDS + BYTES).fill(0x42 + id))
        const smram = new Uint8Array(4)
        guest.domain.guestMemory.read(baseOf(id) + SMIS, smram)
        const restarts = ROUNDS + 2 * BYTES
        expect([...new Uint16Array(smram.buffer)]).toEqual([restarts, restarts])
      }
      const first = new Uint8Array(4)
      guest.domain.guestMemory.read(FIRST_BASE + SMIS, first)
      expect([...new Uint16Array(first.buffer)]).toEqual([2, 0])
    },
  )
})
