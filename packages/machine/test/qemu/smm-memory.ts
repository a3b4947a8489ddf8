import { al, byte, dword, eax, esi, imm32, type Label } from '@retrap/x86-assembler'
import { show } from '../support/boot-disk.ts'
import * as smmContext from './smm-context.ts'

export function window({ asm, board, step, body, smi, smram, stub }: smmContext.Context): void {
  const inside = body(() => {
    asm.mov(esi, imm32(smmContext.SMRAM + 0x100)).mov(al, byte(esi))
    show(asm)
  })
  for (const value of [
    smmContext.G_SMRAME,
    smmContext.D_OPEN | smmContext.G_SMRAME,
    smmContext.D_OPEN,
    smmContext.D_CLS | smmContext.D_OPEN | smmContext.G_SMRAME,
  ]) {
    smram(value)
    smmContext.showConfiguration(asm)
    if ((value & smmContext.D_OPEN) !== 0) smmContext.look(asm, smmContext.SMRAM + 0x100)
    step(
      `SMRAM register ${value.toString(16)}: reads back${(value & smmContext.D_OPEN) === 0 ? '' : ', SMRAM outside'}`,
      (value & smmContext.D_OPEN) === 0 ? 1 : 2,
    )
  }
  smram(0)
  smmContext.showConfiguration(asm)
  smram(0x87)
  smmContext.showConfiguration(asm)
  smram(smmContext.G_SMRAME)
  smi(inside)
  step('SMRAM register 0, 87; SMRAM inside', 3)
  if (board.machine !== 'q35') return
  const extended = (value: number): void => smmContext.configure(asm, board.smram + 1, value)
  for (const value of [0xff, 0x00, smmContext.H_SMRAME, 0x06]) {
    extended(value & ~smmContext.T_EN)
    smmContext.showConfiguration(asm)
  }
  step('ESMRAMC fe, 0, 80, 6 read back', 4)
  // High SMRAM: the handler is below 1 MiB meanwhile.
  stub(smmContext.LOW_SMBASE)
  const base = (from: number, to: number): Label =>
    body(() => void asm.mov(esi, imm32(from + 0xff00)).mov(dword(esi), imm32(to)))
  smi(base(smmContext.SMRAM, smmContext.LOW_SMBASE))
  extended(smmContext.H_SMRAME)
  smi(
    body(() => {
      asm.mov(esi, imm32(smmContext.HIGH_SMRAM + 0x100)).mov(al, byte(esi))
      show(asm)
    }),
  )
  smram(smmContext.G_SMRAME | smmContext.D_OPEN)
  smmContext.look(asm, smmContext.HIGH_SMRAM + 0x100)
  asm.mov(byte(smmContext.HIGH_SMRAM + 0x101), 0x6b)
  smram(smmContext.D_OPEN)
  smmContext.look(asm, smmContext.HIGH_SMRAM + 0x100)
  smram(smmContext.G_SMRAME)
  extended(0)
  smi(base(smmContext.LOW_SMBASE, smmContext.SMRAM))
  smi(body(() => show(asm.mov(esi, imm32(smmContext.SMRAM + 0x101)).mov(al, byte(esi)))))
  step('high SMRAM: inside, open, open without G_SMRAME, and low again', 4)
}

export function tseg({ asm, board, step, body, smi, smram, stub }: smmContext.Context): void {
  const extended = (value: number): void => smmContext.configure(asm, board.smram + 1, value)
  const sizes = [1, 2, 8, 16]
  for (const size of sizes) {
    asm
      .mov(byte(smmContext.TOP - size * smmContext.MIB), 0x50 + size)
      .mov(byte(smmContext.TOP - size * smmContext.MIB - 1), 0x30 + size)
  }
  for (const [i, size] of sizes.entries()) {
    extended((i << 1) | smmContext.T_EN)
    smmContext.showConfiguration(asm)
    const places = [
      smmContext.TOP - size * smmContext.MIB,
      smmContext.TOP - size * smmContext.MIB - 1,
      smmContext.TOP - 1,
    ]
    for (const at of places.slice(0, 2)) smmContext.look(asm, at)
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
  smmContext.look(asm, smmContext.TOP - 16 * smmContext.MIB)
  smram(smmContext.G_SMRAME)
  extended(0)
  smmContext.configure(asm, 0x50, 0xff)
  smmContext.configure(asm, 0x51, 0xff)
  smmContext.showConfiguration(asm)
  smmContext.configure(asm, 0x50, 0x01)
  smmContext.showConfiguration(asm)
  step('TSEG without G_SMRAME; the extended size', 3)
  // SMBASE in TSEG, with address line 20 low: TSEG lies in an odd MiB.
  stub(smmContext.TOP - smmContext.MIB)
  extended(smmContext.T_EN)
  const move = (from: number, to: number): Label =>
    body(() => {
      asm
        .mov(esi, imm32(from + 0xff00))
        .mov(eax, dword(esi))
        .mov(dword(esi), imm32(to))
      smmContext.showWords(asm)
    })
  smi(move(smmContext.SMRAM, smmContext.TOP - smmContext.MIB))
  asm.mov(al, 0).out(0x92, al)
  smi(body(() => show(asm.mov(al, 0x41))))
  asm.mov(al, 2).out(0x92, al)
  smi(move(smmContext.TOP - smmContext.MIB, smmContext.SMRAM))
  extended(0)
  step('SMBASE in TSEG, with A20 low', 9)
}
