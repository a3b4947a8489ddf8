import { al, byte, dword, eax, esi, imm32, type Label } from '@retrap/x86-assembler'
import { show } from '../support/boot-disk.ts'
import {
  MIB,
  TOP,
  SMRAM,
  LOW_SMBASE,
  D_OPEN,
  D_CLS,
  G_SMRAME,
  T_EN,
  H_SMRAME,
  HIGH_SMRAM,
  showWords,
  configure,
  showConfiguration,
  look,
  type Context,
} from './smm-context.ts'

export function window({ asm, board, step, body, smi, smram, stub }: Context): void {
  const inside = body(() => {
    asm.mov(esi, imm32(SMRAM + 0x100)).mov(al, byte(esi))
    show(asm)
  })
  for (const value of [G_SMRAME, D_OPEN | G_SMRAME, D_OPEN, D_CLS | D_OPEN | G_SMRAME]) {
    smram(value)
    showConfiguration(asm)
    if ((value & D_OPEN) !== 0) look(asm, SMRAM + 0x100)
    step(
      `SMRAM register ${value.toString(16)}: reads back${(value & D_OPEN) === 0 ? '' : ', SMRAM outside'}`,
      (value & D_OPEN) === 0 ? 1 : 2,
    )
  }
  smram(0)
  showConfiguration(asm)
  smram(0x87)
  showConfiguration(asm)
  smram(G_SMRAME)
  smi(inside)
  step('SMRAM register 0, 87; SMRAM inside', 3)
  if (board.machine !== 'q35') return
  const extended = (value: number): void => configure(asm, board.smram + 1, value)
  for (const value of [0xff, 0x00, H_SMRAME, 0x06]) {
    extended(value & ~T_EN)
    showConfiguration(asm)
  }
  step('ESMRAMC fe, 0, 80, 6 read back', 4)
  // High SMRAM: the handler is below 1 MiB meanwhile.
  stub(LOW_SMBASE)
  const base = (from: number, to: number): Label =>
    body(() => void asm.mov(esi, imm32(from + 0xff00)).mov(dword(esi), imm32(to)))
  smi(base(SMRAM, LOW_SMBASE))
  extended(H_SMRAME)
  smi(
    body(() => {
      asm.mov(esi, imm32(HIGH_SMRAM + 0x100)).mov(al, byte(esi))
      show(asm)
    }),
  )
  smram(G_SMRAME | D_OPEN)
  look(asm, HIGH_SMRAM + 0x100)
  asm.mov(byte(HIGH_SMRAM + 0x101), 0x6b)
  smram(D_OPEN)
  look(asm, HIGH_SMRAM + 0x100)
  smram(G_SMRAME)
  extended(0)
  smi(base(LOW_SMBASE, SMRAM))
  smi(body(() => show(asm.mov(esi, imm32(SMRAM + 0x101)).mov(al, byte(esi)))))
  step('high SMRAM: inside, open, open without G_SMRAME, and low again', 4)
}

export function tseg({ asm, board, step, body, smi, smram, stub }: Context): void {
  const extended = (value: number): void => configure(asm, board.smram + 1, value)
  const sizes = [1, 2, 8, 16]
  for (const size of sizes) {
    asm.mov(byte(TOP - size * MIB), 0x50 + size).mov(byte(TOP - size * MIB - 1), 0x30 + size)
  }
  for (const [i, size] of sizes.entries()) {
    extended((i << 1) | T_EN)
    showConfiguration(asm)
    const places = [TOP - size * MIB, TOP - size * MIB - 1, TOP - 1]
    for (const at of places.slice(0, 2)) look(asm, at)
    asm.mov(byte(places[0]!), 0x99)
    smi(
      body(() => {
        for (const at of places.slice(0, 2)) show(asm.mov(esi, imm32(at)).mov(al, byte(esi)))
      }),
    )
    step(`TSEG of ${size} MiB: ESMRAMC, its first byte and the one before, outside and inside`, 5)
  }
  // Without G_SMRAME there is none.
  smram(0)
  look(asm, TOP - 16 * MIB)
  smram(G_SMRAME)
  extended(0)
  configure(asm, 0x50, 0xff)
  configure(asm, 0x51, 0xff)
  showConfiguration(asm)
  configure(asm, 0x50, 0x01)
  showConfiguration(asm)
  step('TSEG without G_SMRAME; the extended size', 3)
  // SMBASE in TSEG, with address line 20 low: TSEG lies in an odd MiB.
  stub(TOP - MIB)
  extended(T_EN)
  const move = (from: number, to: number): Label =>
    body(() => {
      asm
        .mov(esi, imm32(from + 0xff00))
        .mov(eax, dword(esi))
        .mov(dword(esi), imm32(to))
      showWords(asm)
    })
  smi(move(SMRAM, TOP - MIB))
  asm.mov(al, 0).out(0x92, al)
  smi(body(() => show(asm.mov(al, 0x41))))
  asm.mov(al, 2).out(0x92, al)
  smi(move(TOP - MIB, SMRAM))
  extended(0)
  step('SMBASE in TSEG, with A20 low', 9)
}
