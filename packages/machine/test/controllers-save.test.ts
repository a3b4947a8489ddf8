import type { BlockBackend } from '@retrap/device'
import { ah, al, type Assembler, ax, dx, ecx, edx, imm8 } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createPc, type Pc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { TestDisc } from './support/test-disc.ts'
import { controllersInWorker } from './support/workers.ts'

const IDE = 0x1f0
const COM1 = 0x3f8
const [LBA, READ_SECTORS, DRQ] = [5, 0x20, 0x08]
const [KEYBOARD, RESET] = [0x64, 0xfe]

/** Begins to read a sector by PIO. */
function begin(asm: Assembler): Assembler {
  for (const [register, value] of [
    [6, 0xe0],
    [2, 1],
    [3, LBA],
    [4, 0],
    [5, 0],
    [7, READ_SECTORS],
  ] as const)
    asm
      .mov(edx, IDE + register)
      .mov(al, imm8(value))
      .out(dx, al)
  asm.mov(edx, IDE + 7)
  const wait = asm.here()
  return asm.in(al, dx).test(al, imm8(DRQ)).jz(wait)
}

/** Moves so many words of the sector to the serial port. */
function move(asm: Assembler, words: number): void {
  asm.mov(ecx, words)
  const next = asm.here()
  asm.mov(edx, IDE).in(ax, dx).mov(edx, COM1).out(dx, al).mov(al, ah).out(dx, al).dec(ecx).jnz(next)
  asm.mov(al, imm8(RESET)).out(imm8(KEYBOARD), al).hlt()
}

/** What a disk has at a byte. */
const byteAt = (at: number): number => (at * 13 + (at >> 9)) & 0xff

/** A disk that counts its reads. @param lateMs - how long each takes */
function disk(lateMs = 0): BlockBackend & { reads: number } {
  const counted = Object.assign(new TestDisc(0, 64 * 512), { reads: 0 })
  counted.read = async (offset, into) => {
    counted.reads++
    await setTimeout(lateMs)
    for (let i = 0; i < into.length; i++) into[i] = byteAt(offset + i)
  }
  return counted
}

test.each([
  { where: 'in this thread', to: undefined },
  { where: 'in a Worker', to: controllersInWorker },
])('controllers $where are saved in the middle of a sector, and others go on with it', async ({ to }) => {
  const media = Array.from({ length: 3 }, disk)
  const make = async (guest: (asm: Assembler) => void): Promise<Pc> => {
    const pc = await createPc({
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      jit: TEST_JIT,
      kernel: multibootKernel(guest),
      drives: [
        { medium: media[0]! },
        { medium: media[1]!, interface: 'nvme' },
        { medium: media[2]!, interface: 'virtio' },
        { medium: null, media: 'cdrom' },
      ],
      controllerPlacement: to,
    })
    return kept(pc)
  }
  const printed = async (pc: Pc, count: number): Promise<number[]> => {
    const stop = new AbortController()
    const bytes: number[] = []
    pc.serial.onTransmit((some) => {
      bytes.push(...some)
      if (bytes.length >= count) stop.abort()
    })
    await pc.run({ signal: stop.signal, timeoutMs: 100_000 })
    return bytes
  }
  const first = await make((asm) => move(begin(asm), 100))
  const sector = await printed(first, 200)
  const state = structuredClone(await first.domain.saveDevices(10_000))
  first.close()
  const second = await make((asm) => move(asm, 156))
  ;(await second.domain.restoreDevices(state)).end()
  sector.push(...(await printed(second, 312)))
  expect(sector).toEqual(Array.from({ length: 512 }, (_, i) => byteAt(LBA * 512 + i)))
  expect(media[0]!.reads).toBe(1)
})

test('a machine on deterministic time waits for controllers in a Worker, however late its disk is', async () => {
  const run = async (lateMs: number): Promise<unknown> => {
    const kernel = multibootKernel((asm) => move(begin(asm), 256))
    const placed = { drives: [{ medium: disk(lateMs) }], controllerPlacement: controllersInWorker }
    const pc = await createPc({
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      clock: 'deterministic',
      kernel,
      ...placed,
    })
    let text = ''
    pc.serial.onTransmit((bytes) => (text += bytes.toString()))
    const { reason } = await kept(pc).run({ timeoutMs: 100_000 })
    return { reason, text, instructions: pc.domain.instructions, ns: pc.domain.clock.now() }
  }
  const [late, early] = [await run(20), await run(0)]
  expect(late).toEqual(early)
  expect(early).toMatchObject({ reason: 'reset', text: expect.stringMatching(/^5,18,/) })
})
