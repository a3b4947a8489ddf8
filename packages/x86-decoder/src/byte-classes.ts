/** The role of a byte where an instruction begins or continues after a prefix. */

/** The role of a byte before the opcode: prefixes between REX and REP. */
export const CLASS_OPCODE = 0
export const CLASS_REX = 1
export const CLASS_SEGMENT = 2
export const CLASS_OPERAND_SIZE = 3
export const CLASS_ADDRESS_SIZE = 4
export const CLASS_LOCK = 5
export const CLASS_REPNE = 6
export const CLASS_REP = 7
/** C4, C5: VEX, or LES and LDS. */
export const CLASS_VEX = 8
/** 0F. */
export const CLASS_ESCAPE = 9
/** 8F: XOP, or POP. */
export const CLASS_XOP = 10
/** 62: EVEX, or BOUND. */
export const CLASS_EVEX = 11
/** D5 in 64-bit mode: REX2. */
export const CLASS_REX2 = 12

/** `CLASS_*` by byte; the second half is 64-bit mode. */
export const byteClasses: Uint8Array = /*#__PURE__*/ makeByteClasses()

function makeByteClasses(): Uint8Array {
  const classes = new Uint8Array(512)
  for (const base of [0, 256]) {
    for (const segment of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) classes[base + segment] = CLASS_SEGMENT
    classes[base + 0x66] = CLASS_OPERAND_SIZE
    classes[base + 0x67] = CLASS_ADDRESS_SIZE
    classes[base + 0xf0] = CLASS_LOCK
    classes[base + 0xf2] = CLASS_REPNE
    classes[base + 0xf3] = CLASS_REP
    classes[base + 0xc4] = CLASS_VEX
    classes[base + 0xc5] = CLASS_VEX
    classes[base + 0x0f] = CLASS_ESCAPE
    classes[base + 0x8f] = CLASS_XOP
    classes[base + 0x62] = CLASS_EVEX
  }
  classes[256 + 0xd5] = CLASS_REX2
  for (let rex = 0x40; rex < 0x50; rex++) classes[256 + rex] = CLASS_REX
  return classes
}
