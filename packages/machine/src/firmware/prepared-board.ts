import { fromBase64 } from '@retrap/basics'
import type { X86Domain } from '@retrap/hvm'
import type { AcpiBoard } from '../acpi/index.ts'
import { CHIPSETS } from '../machine-type.ts'

// Firmware's work that kernels rely on: places for PCI functions, and a graphics card in text mode.

const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const ENABLE = 2 ** 31
const DEVICES = 32
const FUNCTIONS = 8
const COMMAND = 0x04
const HEADER_TYPE = 0x0e
const MULTI_FUNCTION = 0x80
const FIRST_BAR = 0x10
const LAST_BAR = 0x24
const INTERRUPT_LINE = 0x3c
const INTERRUPT_PIN = 0x3d
const BAR_IO = 1
const BAR_TYPE = 6
const BAR_64 = 4
const IO_BASE = 0xc000
/** ISA lines of the interrupt links as in SeaBIOS: links A and B share line 10, C and D line 11, and so on. */
const LINK_LINES = [10, 10, 11, 11] as const
/** Routing registers of links A to D, and of E to H on chipsets with eight links. */
const ROUTES = [0x60, 0x68] as const
/** Edge or level of ISA lines 8 to 15, of which those two are level-triggered (Intel 82371SB data sheet, ELCR2). */
const LEVELS = 0x4d1
const LEVELS_10_11 = 0x0c

/**
 * Gives the PCI functions of bus 0, but none behind bridges, addresses and interrupt lines, and lets them decode.
 *
 * Source: PCI Local Bus Specification 3.0, 6.1 and 6.2.5, "Base Addresses".
 */
export async function placePciFunctions(domain: X86Domain, board: AcpiBoard): Promise<void> {
  const { links, linkOf } = CHIPSETS[board.machine ?? 'pc']
  let memory = board.pciMemory.start
  let io = IO_BASE
  const at = async (device: number, fn: number, register: number): Promise<number> => {
    await domain.writePort(CONFIG_ADDRESS, 4, ENABLE + (device << 11) + (fn << 8) + (register & ~3))
    return CONFIG_DATA + (register & 3)
  }
  const read = async (device: number, fn: number, register: number, size: number): Promise<number> =>
    domain.readPort(await at(device, fn, register), size)
  const write = async (device: number, fn: number, register: number, size: number, value: number): Promise<void> =>
    domain.writePort(await at(device, fn, register), size, value)

  const place = async (device: number, fn: number): Promise<void> => {
    let decodes = 0
    for (let bar = FIRST_BAR; bar <= LAST_BAR; bar += 4) {
      await write(device, fn, bar, 4, 0xffff_ffff)
      const sized = await read(device, fn, bar, 4)
      const isIo = (sized & BAR_IO) !== 0
      if (sized === 0) continue
      decodes |= isIo ? 1 : 2
      // The lowest writable bit gives the size. All bases lie below 4 GiB here.
      const bits = sized & (isIo ? 0xfffc : ~15)
      const size = (bits & -bits) >>> 0
      const base = Math.ceil((isIo ? io : memory) / size) * size
      await write(device, fn, bar, 4, base)
      if (isIo) io = base + size
      else memory = base + size
      if (!isIo && (sized & BAR_TYPE) === BAR_64) await write(device, fn, (bar += 4), 4, 0)
    }
    if (decodes !== 0) await write(device, fn, COMMAND, 2, (await read(device, fn, COMMAND, 2)) | decodes)
    const pin = await read(device, fn, INTERRUPT_PIN, 1)
    if (pin !== 0) await write(device, fn, INTERRUPT_LINE, 1, LINK_LINES[linkOf(device, pin) % 4]!)
  }
  for (let device = 0; device < DEVICES; device++) {
    let functions = 1
    for (let fn = 0; fn < functions; fn++) {
      if ((await read(device, fn, 0, 2)) === 0xffff) continue
      const header = await read(device, fn, HEADER_TYPE, 1)
      if ((header & MULTI_FUNCTION) !== 0) functions = FUNCTIONS
      if ((header & ~MULTI_FUNCTION) === 0) await place(device, fn)
    }
  }
  for (let link = 0; link < links; link++)
    await write(board.isaBridgeDevice ?? 0, 0, ROUTES[link >> 2]! + (link & 3), 1, LINK_LINES[link % 4]!)
  await domain.writePort(LEVELS, 1, LEVELS_10_11)
}

/**
 * A VGA's registers in mode 3: 80 by 25 characters of 9 by 16 dots in 16 colours.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem".
 */
const MISCELLANEOUS = 0x67
const SEQUENCER = [3, 0, 3, 0, 2] as const
const GRAPHICS = [0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff] as const
// The first one that is written takes the protection off the first eight.
const CRTC: readonly (readonly [register: number, value: number])[] = [
  [0x11, 0x0e],
  ...[0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0].map((v, i) => [i, v] as const),
  ...[0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff].map((v, i) => [0x10 + i, v] as const),
]
const ATTRIBUTES = [
  0,
  1,
  2,
  3,
  4,
  5,
  0x14,
  7,
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => 0x38 + i),
  0x0c,
  0,
  0x0f,
  8,
  0,
] as const
/** Bit 5 of the index lets the palette reach the screen. */
const PALETTE_ON = 0x20

/**
 * The characters of code page 437, each in 13 lines of 8 dots.
 *
 * Source: X.Org, font -misc-fixed-medium-r-normal--13-120-75-75-c-80-iso10646-1, which is in the public domain.
 */
const FONT =
  'AAAAAAAAAAAAAAAAAAA8QqWBmYGlmUI8AAAAPH7b/+f/2+d+PAAAAAAAbP7+/nw4EBAAAAAAAAAQOHz+fDgQAAAAEDh8EFT+/lQQOAAAAAAQEDh8/v58EDgAAAAAAAA4fHx8OAAAAAD/////w4GBgYHD////AAAAPEKBgYGBQjwAAP/////Dmb29mcP///8AAAAADgZ6iIiIcAAAAAAAOERERDgQOBAAAAAAGBYQEBBw8PBgAAAAIDAoJCJi4kYOBAAAAAAQkkQQKBBEkhAAAAAAAIDg+P744IAAAAAAAAACDj7+Pg4CAAAAAAAAEDhUEBBUOBAAAAAAJCQkJCQkJAAkAAAAAD50dHQ0FBQUFAAAABgkIBgkJBgEJBgAAAAAAAB+fn5+AAAAAAAAEDhUEBAQVDgQ/gAAAAAQOFQQEBAQEBAAAAAAEBAQEBAQVDgQAAAAAAAABAJ/AgQAAAAAAAAAACBA/kAgAAAAAAAAAAAAQEBAQEB+AAAAAAAAJEL/QiQAAAAAAAAAGBg8PH5+//8AAAAAAP//fn48PBgYAAAAAAAAAAAAAAAAAAAAAAAQEBAQEBAQABAAAAAAJCQkAAAAAAAAAAAAAAAkJH4kfiQkAAAAAAAQPFBQOBQUeBAAAAAAIlIkCAgQJCpEAAAAAAAAMEhIMEpEOgAAAAAQEBAAAAAAAAAAAAAABAgIEBAQCAgEAAAAACAQEAgICBAQIAAAAAAkGH4YJAAAAAAAAAAAAAAQEHwQEAAAAAAAAAAAAAAAAAA4MEAAAAAAAAAAfAAAAAAAAAAAAAAAAAAAABA4EAAAAAICBAgQIECAgAAAAAAYJEJCQkJCJBgAAAAAEDBQEBAQEBB8AAAAADxCQgIEGCBAfgAAAAB+AgQIHAICQjwAAAAABAwUJEREfgQEAAAAAH5AQFxiAgJCPAAAAAAcIEBAXGJCQjwAAAAAfgIECAgQECAgAAAAADxCQkI8QkJCPAAAAAA8QkJGOgICBDgAAAAAAAAQOBAAABA4EAAAAAAAEDgQAAA4MEAAAAACBAgQIBAIBAIAAAAAAAAAfgAAfgAAAAAAAEAgEAgECBAgQAAAAAA8QkICBAgIAAgAAAAAPEJCTlJWSkA8AAAAABgkQkJCfkJCQgAAAAB4REJEeERCRHgAAAAAPEJAQEBAQEI8AAAAAHhEQkJCQkJEeAAAAAB+QEBAeEBAQH4AAAAAfkBAQHhAQEBAAAAAADxCQEBATkJGOgAAAABCQkJCfkJCQkIAAAAAfBAQEBAQEBB8AAAAAB8EBAQEBAREOAAAAABCREhQYFBIREIAAAAAQEBAQEBAQEB+AAAAAIKCxqqSkoKCggAAAABCQmJSSkZCQkIAAAAAPEJCQkJCQkI8AAAAAHxCQkJ8QEBAQAAAAAA8QkJCQkJSSjwCAAAAfEJCQnxQSERCAAAAADxCQEA8AgJCPAAAAAD+EBAQEBAQEBAAAAAAQkJCQkJCQkI8AAAAAIKCREREKCgoEAAAAACCgoKCkpKSqkQAAAAAgoJEKBAoRIKCAAAAAIKCRCgQEBAQEAAAAAB+AgQIECBAQH4AAAAAPCAgICAgICA8AAAAAICAQCAQCAQCAgAAAAB4CAgICAgICHgAAAAAEChEAAAAAAAAAAAAAAAAAAAAAAAAAP4AABAIAAAAAAAAAAAAAAAAAAAAPAI+QkY6AAAAAEBAQFxiQkJiXAAAAAAAAAA8QkBAQjwAAAAAAgICOkZCQkY6AAAAAAAAADxCfkBCPAAAAAAcIiAgfCAgICAAAAAAAAAAOkREOEA8QjwAAEBAQFxiQkJCQgAAAAAAEAAwEBAQEHwAAAAAAAQADAQEBARERDgAAEBAQERIcEhEQgAAAAAwEBAQEBAQEHwAAAAAAAAA7JKSkpKCAAAAAAAAAFxiQkJCQgAAAAAAAAA8QkJCQjwAAAAAAAAAXGJCYlxAQEAAAAAAADpGQkY6AgICAAAAAABcIiAgICAAAAAAAAAAPEIwDEI8AAAAAAAgIHwgICAiHAAAAAAAAABERERERDoAAAAAAAAAREREKCgQAAAAAAAAAIKCkpKqRAAAAAAAAABCJBgYJEIAAAAAAAAAQkJCRjoCQjwAAAAAAH4ECBAgfgAAAAAOEBAIMAgQEA4AAAAAEBAQEBAQEBAQAAAAAHAICBAMEAgIcAAAAAAkVEgAAAAAAAAAAAAAAAAYJEJCQkJ+AAAAADxCQEBAQEBCPAgQAAAoKABERERERDoAAAAACBAAPEJ+QEI8AAAAABgkADwCPkJGOgAAAAAkJAA8Aj5CRjoAAAAAEAgAPAI+QkY6AAAAGCQYADwCPkJGOgAAAAAAAAA8QkBAQjwIEAAAGCQAPEJ+QEI8AAAAACQkADxCfkBCPAAAAAAQCAA8Qn5AQjwAAAAASEgAMBAQEBB8AAAAADBIADAQEBAQfAAAAAAgEAAwEBAQEHwAAAAkJAAYJEJCfkJCAAAAGCQYGCRCQn5CQgAAAAgQAH5AQHhAQH4AAAAAAAAAbBJ8kJJsAAAAAG6QkJCc8JCQngAAAAAYJAA8QkJCQjwAAAAAJCQAPEJCQkI8AAAAACAQADxCQkJCPAAAAAAYJABERERERDoAAAAAIBAAREREREQ6AAAAACQkAEJCQkY6AkI8AEREAHyCgoKCgnwAAAAkJABCQkJCQkI8AAAAABA4VFBQVDgQAAAAAAAcIiBwICAgYtwAAAAAgoJEKHwQfBAQAAAAAHxC/0J8QEBAQAAAAAAMEhAQPBAQEBCQYAAABAgAPAI+QkY6AAAAABAgADAQEBAQfAAAAAAIEAA8QkJCQjwAAAAACBAAREREREQ6AAAAADJMAFxiQkJCQgAAAGSYAILCopKKhoIAAAAAOAQ8RDwAfAAAAAAAADBISDAAeAAAAAAAAAAQABAQIEBCQjwAAAAAAAAAAH5AQEAAAAAAAAAAAAB+AgICAAAAAEDAQEBM8gIMEB4AAABAwEBAQuYKEhoGAAAAABAAEBAQEBAQEAAAAAAAEiRIkEgkEgAAAAAAAJBIJBIkSJAAAAAAVQCqAFUAqgBVAKoAqlWqVapVqlWqVapVqv9V/6r/Vf+q/1X/qv8QEBAQEBAQEBAQEBAQEBAQEBAQ8BAQEBAQEBAQEBAQ8BDwEBAQEBAoKCgoKCjoKCgoKCgoAAAAAAAA+CgoKCgoKAAAAAAA8BDwEBAQEBAoKCgoKOgI6CgoKCgoKCgoKCgoKCgoKCgoKAAAAAAA+AjoKCgoKCgoKCgoKOgI+AAAAAAAKCgoKCgo+AAAAAAAABAQEBAQ8BDwAAAAAAAAAAAAAADwEBAQEBAQEBAQEBAQHwAAAAAAABAQEBAQEP8AAAAAAAAAAAAAAAD/EBAQEBAQEBAQEBAQHxAQEBAQEAAAAAAAAP8AAAAAAAAQEBAQEBD/EBAQEBAQEBAQEBAfEB8QEBAQECgoKCgoKC8oKCgoKCgoKCgoKC8gPwAAAAAAAAAAAAA/IC8oKCgoKCgoKCgo7wD/AAAAAAAAAAAAAP8A7ygoKCgoKCgoKCgvIC8oKCgoKAAAAAAA/wD/AAAAAAAoKCgoKO8A7ygoKCgoEBAQEBD/AP8AAAAAACgoKCgoKP8AAAAAAAAAAAAAAP8A/xAQEBAQAAAAAAAA/ygoKCgoKCgoKCgoKD8AAAAAAAAQEBAQEB8QHwAAAAAAAAAAAAAfEB8QEBAQEAAAAAAAAD8oKCgoKCgoKCgoKCj/KCgoKCgoEBAQEBD/EP8QEBAQEBAQEBAQEPAAAAAAAAAAAAAAAAAfEBAQEBAQ/////////////////wAAAAAAAP/////////w8PDw8PDw8PDw8PDwDw8PDw8PDw8PDw8PD////////wAAAAAAAAAAAAAAADpGQkZKMgAAAAA4RERIUExCQlwAAAAAfkBAQEBAQEBAAAAAAAAAAP5ERERERAAAAAB+QCAQCBAgQH4AAAAAAAAAPkhEQkI8AAAAAAAAAEJCQkJmWkAAAAAAAAB+EBAQEgwAAAAAEHySkpKSknwQAAAAADxCQkJ+QkJCPAAAAAB8goKCgoJsKO4AAAAAPEIgPEJCQkI8AAAAAAAAAGySkmwAAAAAAAAAAABMkpKSknwQEAAAAAAAPEI4QEI8AAAAAAAAABgkQkJCQgAAAAAAAAB+AH4AfgAAAAAAABAQfBAQAHwAAAAAAAAA4BgGGOAA/gAAAAAAAA4wwDAOAP4AAAAMEhAQEBAQEBAQEBAQEBAQEBAQEBAQkGAAAAAAEBAAfAAQEAAAAAAAAABgkgxgkgwAAAAAABgkJBgAAAAAAAAAAAAAAAAYPDwYAAAAAAAAAAAAABgAAAAAAAAAAAICBAQICJBQIAAAAAAAOCQkJAAAAAAAAAAwSAgwQHgAAAAAAAAAAAAA/v7+/v7+/gAAAAAAAAAAAAAAAAAAAA=='
const FONT_LINES = 13
const CELL_LINES = 16
/** Lines of a character's cell above its picture. */
const ABOVE = 2
/** Characters that join those above and below them: their first and last lines fill the cell. */
const [FIRST_JOINED, LAST_JOINED] = [0xb0, 0xdf]
const WINDOW = 0xa_0000
/** Bytes of a character's place in plane 2. */
const PLACE = 32
/** Let the window show plane 2 alone, byte by byte, and undo that. */
const TO_FONT = [
  [0x3c4, 0x0402],
  [0x3c4, 0x0604],
  [0x3ce, 0x0005],
  [0x3ce, 0x0406],
] as const
const FROM_FONT = [
  [0x3c4, 0x0302],
  [0x3c4, 0x0204],
  [0x3ce, 0x1005],
  [0x3ce, 0x0e06],
] as const

async function loadFont(domain: X86Domain): Promise<void> {
  const font = fromBase64(FONT)
  for (const [port, value] of TO_FONT) await domain.writePort(port, 2, value)
  for (let character = 0; character < 256; character++) {
    const joins = character >= FIRST_JOINED && character <= LAST_JOINED
    const line = (y: number): number => {
      const inside = Math.min(Math.max(y, 0), FONT_LINES - 1)
      return joins || inside === y ? font[FONT_LINES * character + inside]! : 0
    }
    for (let y = 0; y < CELL_LINES; y += 4) {
      const word = [3, 2, 1, 0].reduce((sum, i) => (sum << 8) | line(y + i - ABOVE), 0)
      await domain.writeDeviceMemory(WINDOW + PLACE * character + y, word >>> 0)
    }
  }
  for (const [port, value] of FROM_FONT) await domain.writePort(port, 2, value)
}

/** Sets the graphics card to text, in EGA's 64 colours, with a font. */
export async function setTextMode(domain: X86Domain): Promise<void> {
  /** Intensity of a colour component: its low bit adds two thirds of the full 63, its high bit one third. */
  const part = (colour: number, bit: number): number => ((colour >> bit) & 1) * 42 + ((colour >> (bit + 3)) & 1) * 21
  const indexed = (port: number, index: number, value: number) => [port, 2, index | (value << 8)] as const
  const writes = [
    [0x3c2, 1, MISCELLANEOUS] as const,
    ...SEQUENCER.map((value, i) => indexed(0x3c4, i, value)),
    ...CRTC.map(([i, value]) => indexed(0x3d4, i, value)),
    ...GRAPHICS.map((value, i) => indexed(0x3ce, i, value)),
    ...ATTRIBUTES.flatMap((value, i) => [[0x3c0, 1, i] as const, [0x3c0, 1, value] as const]),
    [0x3c0, 1, PALETTE_ON] as const,
    [0x3c6, 1, 0xff] as const,
    [0x3c8, 1, 0] as const,
    ...Array.from({ length: 64 }, (_, c) => [part(c, 2), part(c, 1), part(c, 0)]).flatMap((rgb) =>
      rgb.map((value) => [0x3c9, 1, value] as const),
    ),
  ]
  for (const [port, size, value] of writes) await domain.writePort(port, size, value)
  await loadFont(domain)
}
