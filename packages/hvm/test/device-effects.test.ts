/** What a device model does while it answers precedes the next instruction, wherever the model lives and however long it takes. */
import { createHash } from 'node:crypto'
import { defineDevice } from '@retrap/device'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { P2M_EXECUTE, P2mAccess } from '@retrap/p2m'
import { Assembler, al, cr4, dword, eax, ebx, edx, esp, imm8 } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { beforeAll, describe, expect } from 'vitest'
import { DeterministicClock } from '../src/index.ts'
import * as E from './support/effect-device.ts'
import { CODE, EXIT_PORT, Guest } from './support/guest.ts'

/** Interpreted, all of them. */
const test = sliceTests(TEST_JIT === false ? 1 : 4)

const APIC = 0xfee0_0000
const HANDLER = 0x4000
/** Where the handler notes the next entry, and entries: RIP, EBX. */
const NOTES = 0x5000

/** Where the model lives, and how it answers. */
type Placement = 'synchronous' | 'asynchronous' | 'Worker'

/** All rows with each effect; and again, when the pages of the device are known. */
function program(asm: Assembler): Assembler {
  asm
    .mov(eax, 0x600)
    .mov(cr4, eax)
    .mov(dword(APIC + 0xf0), 0x1ff)
    .mov(dword(NOTES), NOTES + 8)
    .sti()
  for (const time of [0, 1]) {
    for (const [i, { at, emit, after }] of E.effectRows.entries()) {
      asm.mov(al, E.EFFECT_INTERRUPT | at).out(imm8(E.EFFECT_ARM), al)
      asm.mov(ebx, i)
      emit(asm)
      asm.bind(asm.label(`after ${time} ${i}`)).mov(ebx, 0xee)
      after?.(asm)
    }
    for (const [i, { at }] of E.effectRows.entries()) {
      asm.mov(al, E.EFFECT_SWAP | at).out(imm8(E.EFFECT_ARM), al)
      asm.mov(eax, E.slotOf(i)).call(eax)
    }
  }
  return asm.mov(al, 0).out(EXIT_PORT, al).hlt()
}

interface Trace {
  /** Noted by the handler: where it interrupted, and EBX. */
  readonly notes: readonly (readonly [rip: number, ebx: number])[]
  /** By row: how often it was finished by the code in each memory. */
  readonly counts: readonly (readonly [number, number])[]
  /** All of RAM, the registers, and what has been executed. */
  readonly state: unknown
}

async function run(placement: Placement): Promise<Trace> {
  const worker = placement === 'Worker'
  const guest = new Guest((asm) => void program(asm), {
    clock: new DeterministicClock(),
    shared: worker,
    devices: worker ? [] : [E.effectDevice(placement === 'synchronous')],
  })
  const { domain } = guest
  guest.program(HANDLER, 32, (asm) => {
    asm
      .push(eax)
      .push(edx)
      .mov(edx, dword(NOTES))
      .mov(eax, dword(esp, { disp: 8 }))
      .mov(dword(edx), eax)
      .mov(dword(edx, { disp: 4 }), ebx)
      .add(dword(NOTES), imm8(8))
      .mov(dword(APIC + 0xb0), 0)
      .pop(edx)
      .pop(eax)
      .iretd()
  })
  guest.vector(E.EFFECT_VECTOR, HANDLER)
  const server = worker
    ? startDeviceWorker(domain.dispatch, domain.platform, {
        name: 'far',
        modules: [new URL('support/effect-device.ts', import.meta.url).href],
        realTime: false,
      })
    : undefined
  try {
    if (server !== undefined) {
      domain.addServer(server)
      await server.remote.ready
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.failures).toEqual([])
    const noted = (guest.read32(NOTES) - NOTES) / 8 - 1
    const ram = new Uint8Array(1 << 20)
    domain.guestMemory.read(0, ram)
    return {
      notes: Array.from({ length: noted }, (_, i) => [
        guest.read32(NOTES + 8 + 8 * i),
        guest.read32(NOTES + 12 + 8 * i),
      ]),
      counts: E.effectRows.map((_, i) => [
        guest.read32(E.EFFECT_COUNTS + 8 * i),
        guest.read32(E.EFFECT_COUNTS + 8 * i + 4),
      ]),
      state: {
        ram: createHash('sha256').update(ram).digest('hex'),
        registers: guest.state(),
        retired: guest.boot.retired,
        cost: guest.boot.cost,
      },
    }
  } finally {
    server?.close()
  }
}

const { symbols } = program(new Assembler({ bits: 32, address: CODE })).assemble()
/** Each row is noted twice. */
const notes = [0, 1].flatMap((time) => E.effectRows.map((_, i) => [Number(symbols.get(`after ${time} ${i}`)), i]))

describe.each(['synchronous', 'asynchronous', 'Worker'] as const)('a %s model', (placement) => {
  let trace: Trace
  beforeAll(async () => {
    trace = await run(placement)
  }, 60_000)

  test.each(E.effectRows.map(({ name }, i) => [name, i] as const))('interrupts right behind: %s', (_, i) => {
    for (const at of [i, E.effectRows.length + i]) expect(trace.notes[at]).toEqual(notes[at])
  })

  test.each(E.effectRows.map(({ name }, i) => [name, i] as const))(
    'changes what is executed right behind: %s',
    (_, i) => {
      // The memory that is shown from then on finishes the row; each time another one.
      const first = (i + 1) % 2
      expect(trace.counts[i]).toEqual(E.effectRows.length % 2 === 0 ? (first === 1 ? [0, 2] : [2, 0]) : [1, 1])
    },
  )

  test('leaves the guest as one that answers at once', async () => {
    expect(trace.notes).toHaveLength(notes.length)
    expect(trace.state).toEqual((await run('synchronous')).state)
  })
})

// No RAM leaves the guest: there is nothing that device models must be told of, and nothing else that stops the vCPU.
test.each([
  { name: 'an OUT', emit: (asm: Assembler) => asm.out(imm8(0x80), al) },
  { name: 'a store', emit: (asm: Assembler) => asm.mov(dword(E.EFFECT_BASE), eax) },
])('a page that may not be executed any more faults right behind $name', async ({ emit }) => {
  const guest: Guest = new Guest((asm) => emit(asm).inc(dword(E.EFFECT_COUNTS)).mov(al, 0).out(EXIT_PORT, al).hlt(), {
    devices: [
      defineDevice({
        name: 'monitor',
        synchronous: true,
        stateless: true,
        ports: { base: 0x80, size: 1 },
        mmio: { base: E.EFFECT_BASE, size: 0x1000 },
        write: () => void guest.domain.p2m.setAccess(CODE >>> 12, 1, P2mAccess.RW),
      }),
    ],
  })
  const violations: unknown[] = []
  guest.domain.secondLevel.onAccessViolation = ({ gfn, wanted }) => {
    violations.push([gfn, wanted, guest.read32(E.EFFECT_COUNTS)])
    guest.domain.p2m.setAccess(CODE >>> 12, 1, P2mAccess.RWX)
  }
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(violations).toEqual([[CODE >>> 12, P2M_EXECUTE, 0]])
})
