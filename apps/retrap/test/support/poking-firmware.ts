// Firmware that does nothing but reach for device models, over and over.
import type { Rng } from '@retrap/tooling/soak'
import { al, ax, Assembler, cx, di, ds, dx, eax, es, far16, si, sp, ss } from '@retrap/x86-assembler'

const ROM = 0xf_0000
const ROM_BYTES = 0x1_0000
/** Real-mode segments of memory that models claim, or show memory of their own in. */
const SEGMENTS = [0xa000, 0xa800, 0xb000] as const

/** A firmware image of 64 KiB, and what it is made of. Models are expected at ports 100H–1FFH and from A0000H on. */
export function pokingFirmware(rng: Rng): { readonly image: Uint8Array; readonly listing: string } {
  const asm = new Assembler({ bits: 16, address: ROM })
  asm.cli().cld().mov(ax, 0).mov(ss, ax).mov(sp, 0x7c00).mov(ds, ax)
  const top = asm.here('again')
  const count = rng.between(1, 24)
  for (let i = 0; i < count; i++) poke(asm, rng)
  asm.jmp(top)
  asm.org(ROM + 0xfff0, 0xf4)
  asm.jmp(far16(0xf000, 0))
  asm.org(ROM + ROM_BYTES, 0xff)
  const program = asm.assemble()
  const [listing = ''] = program.listing().split('0fff0')
  return { image: program.bytes, listing }
}

function poke(asm: Assembler, rng: Rng): void {
  const port = 0x100 + rng.below(64)
  const offset = rng.pick([0, 1, 0xffc, 0xfff, 0x800]) + rng.below(4)
  switch (rng.below(10)) {
    case 0:
    case 1:
      asm.mov(dx, port).in(rng.pick([al, ax, eax]) as typeof al, dx)
      return
    case 2:
      asm.mov(dx, port).out(dx, rng.pick([al, ax, eax]) as typeof al)
      return
    case 3:
    case 4:
      // MOV from or to ES:DI, or XCHG, or an instruction of two accesses.
      asm.mov(ax, rng.pick(SEGMENTS)).mov(es, ax).mov(di, offset)
      asm.db(
        0x26,
        ...rng.pick([
          [0x8b, 0x05],
          [0x89, 0x05],
          [0x87, 0x05],
          [0x66, 0x01, 0x05],
          [0x66, 0x8b, 0x05],
        ]),
      )
      return
    case 5:
    case 6: {
      // Strings between ports, devices and RAM.
      asm
        .mov(ax, rng.pick(SEGMENTS))
        .mov(es, ax)
        .mov(di, offset)
        .mov(si, 0x600)
        .mov(cx, rng.pick([1, 3, 64, 0]))
      asm.mov(dx, port).db(0xf3, rng.pick([0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xae]))
      return
    }
    case 7:
      // An INTx pin or an MSI may come; vectors lead to 0000:0000.
      asm.sti().nop().cli()
      return
    case 8:
      if (rng.chance(1, 4)) asm.sti().hlt()
      else
        asm
          .mov(dx, 0xcf8)
          .mov(eax, 0x8000_0000 | (rng.below(32) << 11))
          .out(dx, eax)
          .mov(dx, 0xcfc)
          .in(eax, dx)
      return
    default:
      // Execution out of memory that a model owns.
      if (rng.chance(1, 6)) asm.jmp(far16(rng.pick(SEGMENTS), 0))
      else asm.nop()
  }
}
