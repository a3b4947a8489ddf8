// Sets modes of a VGA in a guest without a video BIOS. Values are those of IBM's modes (Personal System/2 Hardware Interface
// Technical Reference, "Video Subsystem", "Compatibility"; FreeVGA Project, "VGA/SVGA Video Programming").
import { al, ax, dx, eax, type Assembler } from '@retrap/x86-assembler'

/** The registers of a mode. */
interface Mode {
  readonly misc: number
  readonly sequencer: readonly number[]
  readonly crtc: readonly number[]
  readonly graphics: readonly number[]
  /** Of the attribute controller, from 0x10 on. */
  readonly attributes: readonly number[]
}

const WIDTH_320_TO_400_LINES = [0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f]

/** 80 by 25 characters. */
export const TEXT: Mode = {
  misc: 0x67,
  sequencer: [3, 0, 3, 0, 2],
  crtc: [
    ...[0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0],
    ...[0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff],
  ],
  graphics: [0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff],
  attributes: [0x0c, 0, 15, 8, 0],
}

/** 320 by 200 dots of 256 colours. */
export const MODE_13H: Mode = {
  misc: 0x63,
  sequencer: [3, 1, 15, 0, 0x0e],
  crtc: [...WIDTH_320_TO_400_LINES, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff],
  graphics: [0, 0, 0, 0, 0, 0x40, 5, 15, 0xff],
  attributes: [0x41, 0, 15, 0, 0],
}

/** 640 by 480 dots of 16 colours, in planes. */
export const MODE_12H: Mode = {
  misc: 0xe3,
  sequencer: [3, 1, 15, 0, 6],
  crtc: [
    ...[0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0],
    ...[0xea, 0x8c, 0xdf, 0x28, 0, 0xe7, 4, 0xe3, 0xff],
  ],
  graphics: [0, 0, 0, 0, 0, 0, 5, 15, 0xff],
  attributes: [1, 0, 15, 0, 0],
}

/** Emits writes to a VGA's registers that set a mode; EAX and EDX change. */
export function setMode(asm: Assembler, mode: Mode): void {
  const out = (port: number, value: number): void => void asm.mov(dx, port).mov(al, value).out(dx, al)
  const indexed = (port: number, index: number, value: number): void => {
    out(port, index)
    out(port + 1, value)
  }
  out(0x3c2, mode.misc)
  for (const [index, value] of mode.sequencer.entries()) indexed(0x3c4, index, value)
  // Bit 7 of register 0x11 protects registers 0 to 7.
  indexed(0x3d4, 0x11, 0)
  for (const [index, value] of mode.crtc.entries()) indexed(0x3d4, index, value)
  for (const [index, value] of mode.graphics.entries()) indexed(0x3ce, index, value)
  const attributes = [...Array.from({ length: 16 }, (_, i) => i), ...mode.attributes]
  for (const [index, value] of attributes.entries()) {
    // A read of the input status says that an index follows.
    asm.mov(dx, 0x3da).in(al, dx)
    out(0x3c0, index)
    out(0x3c0, value)
  }
  asm.mov(dx, 0x3da).in(al, dx)
  out(0x3c0, 0x20)
}

/** Emits what places the linear frame buffer of the card, PCI device 2, and shows it in 32 bits. */
export function setLinearMode(asm: Assembler, width: number, height: number, frameBuffer: number): void {
  setMode(asm, MODE_13H)
  const config = (register: number, value: number): void => {
    asm
      .mov(dx, 0xcf8)
      .mov(eax, 0x8000_1000 + register)
      .out(dx, eax)
    asm.mov(dx, 0xcfc).mov(eax, value).out(dx, eax)
  }
  config(0x10, frameBuffer)
  config(4, 3)
  for (const [index, value] of [
    [1, width],
    [2, height],
    [3, 32],
    [4, 0x41],
  ] as const) {
    asm.mov(dx, 0x1ce).mov(ax, index).out(dx, ax)
    asm.mov(dx, 0x1cf).mov(ax, value).out(dx, ax)
  }
}
