import { armImage, movz } from '@retrap/tooling/arm-image'
import * as x86 from '@retrap/x86-assembler'
import {
  type Assembler,
  Assembler as NewAssembler,
  ah,
  al,
  ax,
  bh,
  bl,
  bp,
  byte,
  bx,
  cx,
  ds,
  dx,
  eax,
  ebx,
  ecx,
  edx,
  imm16,
  ptr,
  sp,
  ss,
  word,
} from '@retrap/x86-assembler'

const COM1 = 0x3f8
const IMAGE_BYTES = 0x1_0000
const RESET = 0xfff0
const HANDLER = 0x8000

/** A firmware image of 64 KiB whose 16-bit code starts at F000:0000. */
function firmwareImage(build: (asm: Assembler) => unknown): Uint8Array {
  const asm = new NewAssembler({ bits: 16, address: 0 })
  const start = asm.here()
  // Eight data bits.
  out(asm, COM1 + 3, 3)
  build(asm)
  asm.org(RESET).jmp(start)
  return asm.assemble().flatten({ base: 0, size: IMAGE_BYTES })
}

function out(asm: Assembler, port: number, ...values: readonly number[]): void {
  asm.mov(dx, imm16(port))
  for (const value of values) asm.mov(al, value).out(dx, al)
}

const outWord = (asm: Assembler, port: number, value: number) =>
  asm.mov(dx, imm16(port)).mov(ax, imm16(value)).out(dx, ax)

const outDword = (asm: Assembler, port: number, value: number) => asm.mov(dx, imm16(port)).mov(eax, value).out(dx, eax)

function setDispi(asm: Assembler, index: number, value: number): void {
  outWord(asm, 0x1ce, index)
  outWord(asm, 0x1d0, value)
}

/** Waits for a bit of a port to be as wanted. */
function wait(asm: Assembler, port: number, bit: number, set: boolean): void {
  const again = asm.mov(dx, imm16(port)).here()
  asm.in(al, dx).test(al, bit)
  if (set) asm.jz(again)
  else asm.jnz(again)
}

/** Draws a white bar of 100 pixels on a screen of 320×240, says `d`, and turns a pixel blue with each key, whose code it sends. */
export function drawingGuest(): Uint8Array {
  return firmwareImage((asm) => {
    out(asm, 0x3c8, 1)
    out(asm, 0x3c9, 63, 63, 63, 0, 0, 63)
    out(asm, 0x3c0, 0x20)
    setDispi(asm, 1, 320)
    setDispi(asm, 2, 240)
    setDispi(asm, 3, 8)
    setDispi(asm, 4, 1)
    asm.mov(ax, imm16(0xa000)).mov(ds, ax).mov(bx, imm16(0))
    const next = asm.here()
    asm.mov(byte(bx), 1).inc(bx).cmp(bx, imm16(100)).jne(next)
    out(asm, COM1, 0x64)
    // The keyboard speaks set 1, scans, and acknowledges that.
    out(asm, 0x64, 0x60)
    out(asm, 0x60, 0x40, 0xf4)
    wait(asm, 0x64, 1, true)
    asm.mov(dx, imm16(0x60)).in(al, dx).mov(bx, imm16(320))
    const keys = asm.here()
    wait(asm, 0x64, 1, true)
    asm.mov(dx, imm16(0x60)).in(al, dx).mov(dx, imm16(COM1)).out(dx, al).mov(byte(bx), 2).inc(bx).jmp(keys)
  })
}

/** Has an exception, and no handlers: it faults thrice. */
export function triplyFaultingGuest(): Uint8Array {
  // RAM is zeros: a table without entries.
  return firmwareImage((asm) => asm.xor(ax, ax).mov(ds, ax).lidt(ptr(0x9000)).ud2())
}

/** Has the bus master of its disk controller read and write whatever a wild list names, again and again. */
export function hungryGuest(): Uint8Array {
  return firmwareImage((asm) => {
    // The bus master's ports at C000h, by configuration mechanism #1: device 1, function 1.
    for (const [register, value] of [
      [0x8000_0920, 0xc001],
      [0x8000_0904, 5],
    ] as const)
      asm.mov(dx, imm16(0xcf8)).mov(eax, register).out(dx, eax).mov(dx, imm16(0xcfc)).mov(eax, value).out(dx, eax)
    const again = asm.here()
    for (const command of [0xc8, 0xca]) {
      // Descriptors are whatever lies at the end of 4 GiB.
      asm.mov(dx, imm16(0xc004)).mov(eax, 0xffff_fff0).out(dx, eax)
      out(asm, 0x1f6, 0xe0)
      out(asm, 0x1f2, 0)
      out(asm, 0x1f7, command)
      out(asm, 0xc000, command === 0xc8 ? 9 : 1)
    }
    asm.jmp(again)
  })
}

/** Says `l`, and counts in a loop for ever. */
export function loopingGuest(): Uint8Array {
  return firmwareImage((asm) => {
    out(asm, COM1, 0x6c)
    const outer = asm.mov(cx, imm16(1000)).here()
    const inner = asm.inc(bx).here()
    asm.dec(cx).jnz(inner).jmp(outer)
  })
}

/**
 * Two processors hand a word to and fro. Says `t` once most of a hundred times take no time, as they execute at the same time,
 * and `n` once they do; sends back what it is sent.
 */
export function pairGuest(): Uint8Array {
  const [HANDED, SAID] = [0x1000, 0x1040]
  return firmwareImage((asm) => {
    const [other, same] = [asm.label(), asm.label()]
    asm.xor(bx, bx).mov(ds, bx).mov(ecx, 0x1b).rdmsr().test(ah, 1).jz(other)
    // x2APIC: INIT, and start-up at F000:0000, to all others. Source: Intel SDM, volume 3, 12.12.
    asm.mov(ah, 0xed).wrmsr().mov(ecx, 0x830).xor(edx, edx)
    for (const command of [0xc_4500, 0xc_46f0]) asm.mov(eax, command).wrmsr()
    const round = asm.here()
    const hand = asm.mov(cx, imm16(100)).xor(bp, bp).here()
    // BX counts down to 0, and BP the times that it does not get there.
    const wait = asm.mov(bx, imm16(500)).mov(byte(HANDED), 1).here()
    asm.cmp(bx, imm16(1)).adc(bx, -1).cmp(byte(HANDED), 0).jne(wait)
    asm.cmp(bx, imm16(1)).sbb(bp, -1).dec(cx).jnz(hand)
    asm
      .cmp(bp, imm16(50))
      .sbb(ax, ax)
      .and(al, 0x6e ^ 0x74)
      .xor(al, 0x74)
    asm.cmp(al, byte(SAID)).je(same).mov(byte(SAID), al).mov(dx, imm16(COM1)).out(dx, al)
    asm
      .bind(same)
      .mov(dx, imm16(COM1 + 5))
      .in(al, dx)
    asm.test(al, 1).jz(round).mov(dx, imm16(COM1)).in(al, dx).out(dx, al).jmp(round)
    const next = asm.bind(other).here()
    asm.cmp(byte(HANDED), 1).jne(next).mov(byte(HANDED), 0).jmp(next)
  })
}

/** Powers its machine off at once. */
export function endingGuest(): Uint8Array {
  // PM1 control: SLP_EN, and type 0, which is S5.
  return firmwareImage((asm) => outWord(asm, 0x604, 0x2000))
}

/** Takes a thousand timer interrupts a second, and counts them in BP. @param takes - emits what it does for a byte on its serial port */
function interruptedGuest(takes: (asm: Assembler) => void): Uint8Array {
  return firmwareImage((asm) => {
    asm.xor(ax, ax).mov(ds, ax).mov(ss, ax).mov(sp, imm16(0x7000)).xor(bp, bp)
    asm.mov(word(0x20), imm16(HANDLER)).mov(word(0x22), imm16(0xf000))
    // Without its local APIC the processor has the i8259's interrupts. Source: Intel SDM, volume 3, 12.4.3, IA32_APIC_BASE.
    asm.mov(ecx, 0x1b).mov(eax, 0xfee0_0100).xor(edx, edx).wrmsr()
    out(asm, 0x20, 0x11)
    out(asm, 0x21, 8, 4, 1, 0xfe)
    out(asm, 0x43, 0x34)
    out(asm, 0x40, 0xa9, 0x04)
    const next = asm.sti().here()
    asm
      .hlt()
      .mov(dx, imm16(COM1 + 5))
      .in(al, dx)
      .test(al, 1)
      .jz(next)
    asm.mov(dx, imm16(COM1)).in(al, dx)
    takes(asm)
    asm.jmp(next)
    asm.org(HANDLER).inc(bp).push(ax).mov(al, 0x20).out(0x20, al).pop(ax).iret()
  })
}

/**
 * For each character on its serial port it sends four bytes: how many of a thousand timer interrupts a second it has had since
 * the last one, low byte first, and hour and minute of its clock (BCD).
 */
export function tickingGuest(): Uint8Array {
  return interruptedGuest((asm) => {
    asm.cli().mov(bx, bp).xor(bp, bp).sti()
    asm.mov(al, bl).out(dx, al).mov(al, bh).out(dx, al)
    for (const register of [4, 2]) {
      out(asm, 0x70, register)
      asm.mov(dx, imm16(0x71)).in(al, dx).mov(dx, imm16(COM1)).out(dx, al)
    }
  })
}

/** Sends back each byte on its serial port, one in a millisecond. */
export const echoingGuest = (): Uint8Array => interruptedGuest((asm) => void asm.out(dx, al))

/** Sends back each byte on its serial port as a line, and resets the machine after a q. */
export function lineGuest(): Uint8Array {
  return interruptedGuest((asm) => {
    const goesOn = asm.label()
    asm.out(dx, al).mov(bl, al).mov(al, 10).out(dx, al).cmp(bl, 0x71).jne(goesOn)
    out(asm, 0x64, 0xfe)
    asm.bind(goesOn)
  })
}

/** Where {@link portGuest} reads. */
export const DEVICE_PORT = 0x500

/** For each byte on its serial port it sends what it reads at {@link DEVICE_PORT}. */
export function portGuest(): Uint8Array {
  return interruptedGuest((asm) => {
    asm.mov(dx, imm16(DEVICE_PORT)).in(al, dx).mov(dx, imm16(COM1)).out(dx, al)
  })
}

/**
 * For each digit n on its serial port it reads sector 256·n of its first disk, and sends the first byte of it; for an error `!`.
 * For each capital letter it fills sector 0 with it, and for the n-th small letter sector 256·n, has the disk flush it, and sends `.`; for an error `!`.
 */
export function diskGuest(): Uint8Array {
  return firmwareImage((asm) => {
    const failed = asm.label()
    const send = asm.label()
    out(asm, COM1, 0x72)
    const next = asm.here()
    wait(asm, COM1 + 5, 1, true)
    asm.mov(dx, imm16(COM1)).in(al, dx).mov(bl, al).test(al, 0x40)
    const write = asm.label()
    asm.jnz(write).sub(bl, 0x30)
    out(asm, 0x1f6, 0xe0)
    out(asm, 0x1f2, 1)
    out(asm, 0x1f3, 0)
    asm.mov(dx, imm16(0x1f4)).mov(al, bl).out(dx, al)
    out(asm, 0x1f5, 0)
    out(asm, 0x1f7, 0x20)
    wait(asm, 0x1f7, 0x80, false)
    asm.test(al, 1).jnz(failed).mov(dx, imm16(0x1f0)).in(ax, dx).mov(bl, al).mov(cx, imm16(255))
    const word = asm.here()
    asm.in(ax, dx).dec(cx).jnz(word).jmp(send)
    asm.bind(write)
    const small = asm.label()
    out(asm, 0x1f6, 0xe0)
    out(asm, 0x1f2, 1)
    out(asm, 0x1f3, 0)
    asm.mov(dx, imm16(0x1f4)).mov(al, bl).test(al, 0x20).jnz(small).mov(al, 0x20)
    asm.bind(small).and(al, 0x1f).out(dx, al)
    out(asm, 0x1f5, 0)
    out(asm, 0x1f7, 0x30)
    wait(asm, 0x1f7, 0x08, true)
    asm.mov(dx, imm16(0x1f0)).mov(al, bl).mov(ah, bl).mov(cx, imm16(256))
    const sent = asm.here()
    asm.out(dx, ax).dec(cx).jnz(sent)
    wait(asm, 0x1f7, 0x80, false)
    asm.test(al, 1).jnz(failed)
    // Durable, before it says so.
    out(asm, 0x1f7, 0xe7)
    wait(asm, 0x1f7, 0x80, false)
    asm.test(al, 1).jnz(failed).mov(bl, 0x2e).jmp(send)
    asm.bind(failed).mov(bl, 0x21)
    asm.bind(send).mov(al, bl).mov(dx, imm16(COM1)).out(dx, al).jmp(next)
  })
}

/** Frequency of what the guests below play. */
export const TONE_HZ = 1000

/** Plays a tone on the PC speaker, says `s`, and waits. */
export function speakerGuest(): Uint8Array {
  const ticks = Math.round(1_193_182 / TONE_HZ)
  return firmwareImage((asm) => {
    out(asm, 0x43, 0xb6)
    out(asm, 0x42, ticks & 0xff, ticks >> 8)
    out(asm, 0x61, 3)
    out(asm, COM1, 0x73)
    const wait = asm.here()
    asm.jmp(wait)
  })
}

const [TONE_LIST, TONE_SAMPLES] = [0x2000, 0x4000]
const TONE_RATE = 48_000

/**
 * Plays a tone on the sound card, on its left channel alone, without an end: a ring of 32 buffers of 0.1 s. The image has them.
 *
 * Source: Intel 82801AA (ICH) data sheet (290655), "AC '97 Audio Controller Registers"; AC '97 component specification 2.3, 5.7.
 */
export function soundCardGuest(): Uint8Array {
  const [mixer, master] = [0xd000, 0xd400]
  const image = firmwareImage((asm) => {
    const found = asm.label()
    asm.mov(ebx, 0x8000_0008)
    const next = asm.here()
    asm.mov(dx, imm16(0xcf8)).mov(eax, ebx).out(dx, eax).mov(dx, imm16(0xcfc)).in(eax, dx)
    asm.shr(eax, 16).cmp(ax, imm16(0x0401)).je(found).add(ebx, 0x800).jmp(next)
    asm.bind(found)
    for (const [register, value] of [
      [0x10, mixer | 1],
      [0x14, master | 1],
      [0x04, 5],
    ] as const) {
      asm.mov(dx, imm16(0xcf8)).mov(eax, ebx).mov(al, register).out(dx, eax)
      asm.mov(dx, imm16(0xcfc)).mov(eax, value).out(dx, eax)
    }
    // Out of cold reset; master volume, and that of samples.
    outDword(asm, master + 0x2c, 2)
    outWord(asm, mixer + 2, 0)
    outWord(asm, mixer + 0x18, 0x0808)
    outDword(asm, master + 0x10, 0xf_0000 + TONE_LIST)
    out(asm, master + 0x15, 31)
    out(asm, master + 0x1b, 1)
    out(asm, COM1, 0x73)
    // The last valid buffer is the one before the current one.
    const again = asm.here()
    asm
      .mov(dx, imm16(master + 0x14))
      .in(al, dx)
      .dec(al)
      .and(al, 31)
      .inc(dx)
      .out(dx, al)
      .jmp(again)
  })
  const view = new DataView(image.buffer, image.byteOffset)
  const frames = TONE_RATE / 10
  for (let i = 0; i < 32; i++) {
    view.setUint32(TONE_LIST + 8 * i, 0xf_0000 + TONE_SAMPLES, true)
    view.setUint32(TONE_LIST + 8 * i + 4, 2 * frames, true)
  }
  for (let i = 0; i < frames; i++)
    view.setInt16(TONE_SAMPLES + 4 * i, 0x4000 * Math.sin((2 * Math.PI * TONE_HZ * i) / TONE_RATE), true)
  return image
}

/** A drive that a guest below reads, the first one of the machine, and the block of it. */
interface FarBlock {
  readonly media: 'disk' | 'cdrom'
  /** Of 512 bytes of a disk, of 2048 of a CD. */
  readonly block: number
}

/**
 * Reads a block of the first drive, and sends its first eight bytes.
 *
 * Source: ATA/ATAPI-6 (T13/1410D), 8.27, "READ SECTOR(S)", and 9.8, "PACKET"; MMC-3, 6.1.15, "READ (10)".
 */
export function farGuest({ media, block }: FarBlock): Uint8Array {
  // A CD drive is the first one of the secondary cable.
  const base = media === 'disk' ? 0x1f0 : 0x170
  return firmwareImage((asm) => {
    const again = asm.here()
    if (media === 'disk') {
      out(asm, base + 6, 0xe0 | (block >>> 24))
      out(asm, base + 2, 1)
      for (const i of [0, 1, 2]) out(asm, base + 3 + i, (block >>> (8 * i)) & 0xff)
      out(asm, base + 7, 0x20)
    } else {
      out(asm, base + 6, 0xa0)
      // Bytes of an answer at a time: 2048.
      out(asm, base + 4, 0)
      out(asm, base + 5, 8)
      out(asm, base + 7, 0xa0)
      wait(asm, base + 7, 0x08, true)
      const packet = Uint8Array.of(0x28, 0, block >>> 24, block >>> 16, block >>> 8, block, 0, 0, 1, 0, 0, 0)
      asm.mov(dx, imm16(base))
      for (let i = 0; i < packet.length; i += 2) asm.mov(ax, imm16(packet[i]! | (packet[i + 1]! << 8))).out(dx, ax)
    }
    // A CD that was just put in says so once, as an error.
    wait(asm, base + 7, 0x80, false)
    asm.test(al, 1).jnz(again)
    for (let i = 0; i < 4; i++) {
      asm.mov(dx, imm16(base)).in(ax, dx).mov(bx, ax)
      asm.mov(dx, imm16(COM1)).mov(al, bl).out(dx, al).mov(al, bh).out(dx, al)
    }
    outWord(asm, 0x604, 0x2000)
  })
}

const TIMES = 20_000
/** The products of 1 to 4 and 5 to 8, added. */
const DOT = 70

/**
 * Executes instructions of AVX-512, AVX-VNNI-INT8, APX and AMX, each {@link TIMES} times, and then powers off. For each of these it
 * says `=`, `!` for another result than the manual's, or `U` for #UD.
 */
export function extendedGuest(): Uint8Array {
  const { k1, r12, r16, r16d, r31, r8d, rax, rdi, rip, rsi, tmm0, tmm1, tmm2, xmm0, xmm1, xmm2, zmm17, zmm18 } = x86
  return firmwareImage((asm) => {
    // From the reset's place to the same code below 1 MiB, and to 64-bit mode. Tables are in the image, with all bits that a
    // processor sets: first the global descriptors' at 4000h, the interrupts' at 5000h, and pages' at 2000h and 3000h.
    const low = asm.label()
    asm.jmp(x86.far16(0xf000, low)).bind(low).mov(ax, imm16(0xf000)).mov(ds, ax)
    asm.operandSize(32).lgdt(ptr(0x4000)).operandSize(32).lidt(ptr(0x5000))
    asm.mov(eax, 0x4_0620).mov(x86.cr4, eax).mov(eax, 0xf_2000).mov(x86.cr3, eax)
    asm.mov(ecx, 0xc000_0080).rdmsr().or(eax, 0x100).wrmsr().mov(eax, x86.cr0).or(eax, 0x8000_0001).mov(x86.cr0, eax)
    asm.jmp(x86.far32(8, 0xf_1000)).org(0x1000).bits(64).mov(x86.esp, 0x8000)
    // XCR0 gets all that the processor has.
    asm.mov(eax, 13).xor(ecx, ecx).cpuid().xor(ecx, ecx).xsetbv().mov(x86.esi, 0xf_6000).mov(x86.edi, 0x9000)
    const repeat = (expected: number, ...[start, step, end]: (() => unknown)[]): void => {
      const [next, right] = [asm.label(), asm.label()]
      asm.lea(r12, x86.qword(rip(next))).vpxor(xmm0, xmm0, xmm0)
      start!()
      const again = asm.mov(r8d, TIMES).here()
      step!()
      asm.dec(r8d).jnz(again)
      end!()
      asm.cmp(rax, expected).mov(al, 0x3d).je(right).mov(al, 0x21).bind(right).mov(edx, COM1).out(dx, al).bind(next)
    }
    repeat(
      TIMES,
      () => asm.mov(eax, 1).vpbroadcastd(zmm18, eax).mov(eax, 0x5555).kmovw(k1, eax),
      () => asm.vpaddd(zmm17.k(k1), zmm17, zmm18),
      () => asm.vextracti32x4(xmm0, zmm17, 3).vmovq(rax, xmm0),
    )
    repeat(
      TIMES * DOT,
      () => asm.vmovd(xmm1, x86.dword(rsi)).vmovd(xmm2, x86.dword(rsi, { disp: 4 })),
      () => asm.vpdpbssd(xmm0, xmm1, xmm2),
      () => asm.vmovd(eax, xmm0),
    )
    repeat(
      TIMES * 3,
      () => asm.xor(r16d, r16d),
      () => asm.add(r31, r16, 3).mov(r16, r31),
      () => asm.mov(rax, r16),
    )
    repeat(
      TIMES * DOT,
      () => {
        asm.xor(eax, eax).ldtilecfg(x86.zmmword(rsi, { disp: 8 }))
        asm.tileloadd(tmm1, ptr(rsi, { index: rax })).tileloadd(tmm2, ptr(rsi, { index: rax, disp: 4 }))
      },
      () => asm.tdpbssd(tmm0, tmm1, tmm2),
      () => asm.tilestored(ptr(rdi, { index: rax }), tmm0).mov(eax, x86.dword(rdi)),
    )
    asm.mov(edx, 0x604).mov(eax, 0x2000).out(dx, ax)
    // The handler of #UD.
    asm.org(0x1f00).mov(al, 0x55).mov(edx, COM1).out(dx, al).mov(x86.qword(x86.rsp), r12).iretq()
    asm.org(0x2000).dq(0xf_3063).org(0x3000).dq(0xe3)
    asm.org(0x4000).dw(15, 0x4000, 0xf, 0).dq(0xaf_9b00_0000_ffffn)
    asm.org(0x5000).dw(0xfff, 0x5000, 0xf).org(0x5060).dw(0x1f00, 8, 0x8e00, 0xf)
    // Numbers, and tiles 0 to 2 of a row of four bytes each.
    asm.org(0x6000).db(1, 2, 3, 4, 5, 6, 7, 8, 1).org(0x6018).dw(4, 4, 4).org(0x6038).db(1, 1, 1).bits(16)
  })
}

/** STRB to the UART, whose address is in X1. */
export const sendArm = (register: number): number => 0x3900_0020 | register
/** Has the UART send and receive eight bits: `str w2, [x1, #0x2c]` and `#0x30`. */
export const ARM_UART = [movz(1, 0x0900, 16), movz(2, 0x60), 0xb900_2c22, movz(2, 0x301), 0xb900_3022]

/** For each byte on its serial port, which it gets in X3, it calls a function that sends something. */
function armGuest(...sends: readonly number[]): Uint8Array {
  // An event each millisecond: movz x2, 0xf4; msr cntkctl_el1, x2. Then wfe; ldr w2, [x1, #0x18]; tbnz w2, #4, .-8: nothing has
  // come; ldrb w3, [x1]; bl .+8; b .-20; the function; ret
  const next = [
    movz(2, 0xf4),
    0xd518_e102,
    0xd503_205f,
    0xb940_1822,
    0x3727_ffc2,
    0x3940_0023,
    0x9400_0002,
    0x17ff_fffb,
  ]
  return armImage(...ARM_UART, ...next, ...sends, 0xd65f_03c0)
}

/** Sends each byte and three of the counter's. */
export function tickingArmGuest(): Uint8Array {
  // mrs x4, cntvct_el0; lsr x4, x4, #8
  return armGuest(sendArm(3), 0xd53b_e044, sendArm(4), 0xd348_fc84, sendArm(4), 0xd348_fc84, sendArm(4))
}

export const lineArmGuest = (): Uint8Array => armGuest(sendArm(3), movz(4, 10), sendArm(4))
