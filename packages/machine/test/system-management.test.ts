/** System-management mode of both boards: SMRAM that only it sees, its lock, TSEG, and SMIs by the command port. */
import { DebugConsole, DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { al, Assembler, byte, cl, dword, dx, eax, ecx, edi, esi, imm16, imm32 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const MEMORY = 16 * MIB
const SMALL = { memoryBytes: MEMORY, codeCacheBytes: 4 * MIB, jit: TEST_JIT, smm: true } as const
const HANDLER = 0x3_8000
/** The second handler, for SMRAM, waits here. */
const SPARE = 0x5000
const SMRAM = 0xa_0000
const D_OPEN = 0x40
const D_LCK = 0x10
const G_SMRAME = 0x08
const TSEG = MEMORY - MIB

const smi = (asm: Assembler): Assembler => asm.mov(al, 0x42).out(0xb2, al)
const show = (asm: Assembler, gpa: number): Assembler => asm.mov(al, byte(gpa)).out(0xe9, al)

function configure(asm: Assembler, address: number, value: number, bytes: 1 | 4 = 4): void {
  asm
    .mov(dx, imm16(0xcf8))
    .mov(eax, imm32(0x8000_0000 | (address & ~3)))
    .out(dx, eax)
  asm.mov(dx, imm16(0xcfc + (address & 3))).mov(eax, imm32(value))
  if (bytes === 4) asm.out(dx, eax)
  else asm.out(dx, al)
}

/** 16-bit code of a handler. */
function handler(build: (asm: Assembler) => void): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0x8000 })
  build(asm)
  return asm.rsm().assemble().bytes
}

async function run(
  machine: 'pc' | 'q35',
  handlers: readonly Uint8Array[],
  program: (asm: Assembler) => void,
  memoryBytes = MEMORY,
): Promise<readonly number[]> {
  const seen: number[] = []
  const pc = await createPc({
    ...SMALL,
    memoryBytes,
    machine,
    kernel: multibootKernel((asm) => {
      if (machine === 'q35') {
        // PMBASE, and APMC_EN with GBL_SMI_EN of SMI_EN.
        configure(asm, 0xf840, 0x601)
        configure(asm, 0xf844, 0x80)
        asm.mov(dx, imm16(0x630)).mov(eax, imm32(0x21)).out(dx, eax)
      }
      program(asm)
      asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()
    }),
    devices: [
      new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } }),
      new DebugExit({ iobase: 0x501 }),
    ],
  })
  for (const [i, bytes] of handlers.entries()) pc.domain.guestMemory.load([HANDLER, SPARE][i]!, bytes)
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  pc.close()
  return seen
}

describe.each([
  { machine: 'pc', register: 0x72 },
  { machine: 'q35', register: 0x9d },
] as const)('SMRAM behind the VGA window of a $machine', ({ machine, register }) => {
  test('is filled while it is open, then seen in system-management mode alone, and locked', async () => {
    const first = handler((asm) => {
      // SMBASE of AMD's save area, which firmware for QEMU expects.
      asm.mov(al, 0x11).out(0xe9, al).mov(esi, imm32(0x3_ff00)).mov(dword(esi), imm32(SMRAM))
    })
    const second = handler((asm) => {
      asm
        .mov(esi, imm32(SMRAM))
        .mov(al, byte(esi, { disp: 0x100 }))
        .out(0xe9, al)
      asm.mov(byte(esi, { disp: 0x100 }), 0x33)
    })
    const seen = await run(machine, [first, second], (asm) => {
      configure(asm, register, D_OPEN | G_SMRAME, 1)
      asm
        .cld()
        .mov(esi, imm32(SPARE))
        .mov(edi, imm32(SMRAM + 0x8000))
        .mov(ecx, imm32(second.length))
        .rep()
        .movsb()
      asm.mov(byte(SMRAM + 0x100), 0x22)
      smi(asm)
      configure(asm, register, G_SMRAME, 1)
      show(asm, SMRAM + 0x100)
      smi(asm)
      show(asm, SMRAM + 0x100)
      configure(asm, register, D_OPEN | G_SMRAME, 1)
      show(asm, SMRAM + 0x100)
      // The lock closes it, and no write opens it any more.
      configure(asm, register, D_OPEN | D_LCK | G_SMRAME, 1)
      show(asm, SMRAM + 0x100)
      configure(asm, register, D_OPEN | G_SMRAME, 1)
      show(asm, SMRAM + 0x100)
      asm
        .mov(dx, imm16(0xcfc + (register & 3)))
        .in(al, dx)
        .out(0xe9, al)
      smi(asm)
    })
    expect(seen).toEqual([0x11, 0xff, 0x22, 0xff, 0x33, 0xff, 0xff, 2 | D_LCK | G_SMRAME, 0x33])
  })
})

test('TSEG of a q35 is RAM that only system-management mode sees, and RAM of the guest again when it is off', async () => {
  const look = handler((asm) => {
    asm.mov(esi, imm32(TSEG)).mov(al, byte(esi)).out(0xe9, al).mov(byte(esi), 0x77)
  })
  const seen = await run('q35', [look], (asm) => {
    asm.mov(byte(TSEG - 1), 0x44).mov(byte(TSEG), 0x55)
    configure(asm, 0x9d, G_SMRAME, 1)
    configure(asm, 0x9e, 1, 1)
    show(asm, TSEG)
    show(asm, TSEG - 1)
    asm.mov(byte(TSEG), 0x66)
    smi(asm)
    show(asm, TSEG)
    configure(asm, 0x9e, 0, 1)
    show(asm, TSEG)
  })
  expect(seen).toEqual([0xff, 0x44, 0x55, 0xff, 0x77])
})

test('a TSEG larger than low memory is none', async () => {
  const seen = await run(
    'q35',
    [],
    (asm) => {
      asm.mov(byte(4 * MIB - 1), 0x55)
      configure(asm, 0x9d, G_SMRAME, 1)
      configure(asm, 0x9e, 5, 1)
      show(asm, 4 * MIB - 1)
    },
    4 * MIB,
  )
  expect(seen).toEqual([0x55])
})

test('the command port of a q35 raises no SMI while APMC_EN is clear; SMI_LOCK keeps GBL_SMI_EN', async () => {
  const seen = await run('q35', [handler((asm) => asm.mov(al, 0x99).out(0xe9, al))], (asm) => {
    const enable = (value: number): void => void asm.mov(dx, imm16(0x630)).mov(eax, imm32(value)).out(dx, eax)
    enable(1)
    smi(asm)
    configure(asm, 0xf8a0, 0x10)
    enable(0x20)
    asm.mov(dx, imm16(0x630)).in(eax, dx).mov(cl, al).mov(al, cl).out(0xe9, al)
    smi(asm)
    // The extended size of TSEG is what FFFFh asks for.
    configure(asm, 0x50, 0xffff)
    asm.mov(dx, imm16(0xcfc)).in(al, dx).out(0xe9, al)
  })
  expect(seen).toEqual([0x21, 0x99, 16])
})

test.each([
  ["smm true: expected devicePlacement 'inline'", { devicePlacement: 'deferred' as const }],
  [
    'flash: secure: expected smm true',
    { smm: false, kernel: undefined, flash: [{ medium: { read() {} }, secure: true }] },
  ],
])('%s', async (message, options) => {
  const making = createPc({ ...SMALL, kernel: new Uint8Array(1), ...(options as object) })
  await expect(making).rejects.toThrow(message)
})
