/** A guest all of whose RAM is paged out again and again, against the same guest whose RAM is left alone. */
import { defineDevice } from '@retrap/device'
import { P2mType, P2mEntry } from '@retrap/p2m'
import { numbers } from '@retrap/tooling/random'
import * as x86 from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { CODE, EXIT_PORT, GDT, Guest, IDT } from './support/guest.ts'

const TABLES = 0x2_0000
const DATA = 0x3_0000
const DATA_BYTES = 0x8000
const HANDLER = 0x1_4000
const DEVICE = 0xfe00_0000
const ROUNDS = 60
const SEED = 20_261_121

/** Everything that reaches memory in a way of its own: strings, stacks, locked and crossing accesses, interrupts, devices. */
function program(asm: x86.Assembler): void {
  const again = asm.label()
  asm
    .mov(x86.eax, TABLES)
    .mov(x86.cr3, x86.eax)
    .mov(x86.eax, x86.cr0)
    .or(x86.eax, x86.imm32(0x8000_0000))
    .mov(x86.cr0, x86.eax)
  asm.mov(x86.ebp, ROUNDS)
  asm.bind(again)
  // Two pages to two others, across the boundaries of both.
  asm
    .mov(x86.esi, x86.imm32(DATA + 0xf83))
    .mov(x86.edi, x86.imm32(DATA + 0x4f41))
    .mov(x86.ecx, 0x90)
    .rep()
    .movsd()
  // A sum that depends on the round, to where the next round copies from.
  asm
    .mov(x86.eax, x86.dword(DATA + 0x5ffe))
    .add(x86.eax, x86.ebp)
    .add(x86.dword(DATA + 0xffe), x86.eax)
    .add(x86.dword(DATA + 0x2ffd), x86.eax)
  asm.lock().xadd(x86.dword(DATA + 0x3004), x86.eax)
  asm.push(x86.eax).mov(x86.ebx, x86.dword(x86.esp)).pop(x86.edx)
  asm.int(0x40)
  // A device's answer, to memory that may be out; and memory, to a device.
  asm
    .mov(x86.esi, x86.imm32(DEVICE))
    .mov(x86.edi, x86.imm32(DATA + 0x6ffe))
    .movsd()
  asm
    .mov(x86.esi, x86.imm32(DATA + 0x6ffe))
    .mov(x86.edi, x86.imm32(DEVICE + 4))
    .movsd()
  asm.dec(x86.ebp).jnz(again)
  asm.mov(x86.al, 0).out(EXIT_PORT, x86.al).hlt()
}

interface Outcome {
  readonly exit: unknown
  readonly data: Uint8Array
  readonly device: readonly number[]
  readonly paged: number
}

async function runGuest(pagedOut: boolean): Promise<Outcome> {
  const device: number[] = []
  const guest = new Guest(program, {
    devices: [
      defineDevice({
        name: 'counter',
        mmio: { base: DEVICE, size: 0x1000 },
        read: async (offset) => {
          await Promise.resolve()
          device.push(-offset - 1)
          return device.length * 0x0101_0101
        },
        write: (_offset, _size, value) => void device.push(value),
      }),
    ],
  })
  const { domain } = guest
  const { p2m, secondLevel, memory, guestMemory } = domain
  // The first 1 MiB, and the device, by 4 KiB pages.
  const table = new Uint32Array(1024)
  for (let i = 0; i < 256; i++) table[i] = (i << 12) | 7
  const far = new Uint32Array(1024)
  far[0] = (DEVICE | 7) >>> 0
  const directory = new Uint32Array(1024)
  directory[0] = (TABLES + 0x1000) | 7
  directory[DEVICE >>> 22] = (TABLES + 0x2000) | 7
  for (const [i, words] of [directory, table, far].entries()) {
    guestMemory.load(TABLES + i * 0x1000, new Uint8Array(words.buffer))
  }
  guestMemory.load(
    DATA,
    Uint8Array.from({ length: DATA_BYTES }, (_, i) => (i * 31) ^ (i >>> 5)),
  )
  guest.vector(0x40, HANDLER)
  guest.program(HANDLER, 32, (asm) => asm.add(x86.dword(DATA + 0x7004), x86.ebx).iret())

  const random = numbers(SEED)
  const contents = new Map<number, Uint8Array>()
  const used = [CODE, HANDLER, GDT, IDT, 0x8_f000, TABLES, TABLES + 0x1000, TABLES + 0x2000]
  for (let at = DATA; at < DATA + DATA_BYTES; at += 0x1000) used.push(at)
  const frames = [...new Set(used.map((gpa) => gpa >>> 12))]
  let paged = 0
  const evict = async (gfn: number): Promise<void> => {
    const type = p2m.lookup(gfn, new P2mEntry())
    if (type !== P2mType.RAM_RW) return
    const entry = new P2mEntry()
    await domain.changeMemory(() => {
      if (p2m.lookup(gfn, entry) === P2mType.RAM_RW) p2m.paging.nominate(gfn)
    })
    // It may have been asked for since.
    if (p2m.lookup(gfn, entry) !== P2mType.RAM_PAGING_OUT) return
    contents.set(gfn, memory.read(entry.mfn * 4096, 4096))
    p2m.paging.evict(gfn)
    paged++
  }
  secondLevel.onPageRequest = (gfn, how) => {
    setImmediate(() => {
      if (how === 'load') p2m.paging.prepare(gfn, contents.get(gfn) as Uint8Array)
      p2m.paging.resume(gfn)
      // Something else goes for it: soon, all that an instruction needs is rarely there at once.
      for (let i = 0; i < 2; i++) void evict(frames[random(frames.length)] as number)
    })
  }
  if (pagedOut) for (const gfn of frames) await evict(gfn)
  const exit = await guest.run()
  const data = new Uint8Array(DATA_BYTES)
  for (let at = 0; at < DATA_BYTES; at += 4096) {
    const gfn = (DATA + at) >>> 12
    const ma = p2m.translate(gfn * 4096)
    const entry = new P2mEntry()
    p2m.lookup(gfn, entry)
    data.set(
      ma >= 0
        ? memory.read(ma, 4096)
        : entry.mfn >= 0
          ? memory.read(entry.mfn * 4096, 4096)
          : (contents.get(gfn) as Uint8Array),
      at,
    )
  }
  return { exit, data, device, paged }
}

test('a guest whose RAM is paged out all the time does what it does without', async () => {
  const calm = await runGuest(false)
  expect(calm).toMatchObject({ exit: { reason: 'debug-exit', code: 0 }, paged: 0 })
  expect(calm.device).toHaveLength(2 * ROUNDS)
  const paged = await runGuest(true)
  expect([paged.exit, paged.device]).toEqual([calm.exit, calm.device])
  expect(Buffer.compare(paged.data, calm.data)).toBe(0)
  expect(paged.paged).toBeGreaterThan(5 * ROUNDS)
}, 60_000)
