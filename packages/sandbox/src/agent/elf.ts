/** Bytes of the header and one program header, which precede the code. */
export const ELF_HEADERS_BYTES = 120

const ET_EXEC = 2
const EM_X86_64 = 62
const PT_LOAD = 1
const PF_READ_WRITE_EXECUTE = 7
const PAGE_BYTES = 4096

/**
 * Makes a static x86-64 executable of one segment, which starts with the headers themselves.
 *
 * @param code - machine code for the address `base + ELF_HEADERS_BYTES`; its first byte is the entry
 * @param base - address of the segment
 * @param memoryBytes - size of the segment in memory; the rest after the code is zero
 *
 * Source: System V ABI, chapter 4, "Object Files", and chapter 5, "Program Loading and Dynamic Linking".
 */
export function elfExecutable(code: Uint8Array, base: number, memoryBytes: number): Uint8Array {
  const file = new Uint8Array(ELF_HEADERS_BYTES + code.length)
  const view = new DataView(file.buffer)
  const half = (at: number, value: number): void => view.setUint16(at, value, true)
  const word = (at: number, value: number): void => view.setUint32(at, value, true)
  const address = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true)
  // e_ident: magic, 64 bits, little-endian, version 1.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  half(0x10, ET_EXEC)
  half(0x12, EM_X86_64)
  word(0x14, 1) // e_version
  address(0x18, base + ELF_HEADERS_BYTES) // e_entry
  address(0x20, 64) // e_phoff
  half(0x34, 64) // e_ehsize
  half(0x36, 56) // e_phentsize
  half(0x38, 1) // e_phnum
  word(64, PT_LOAD)
  word(68, PF_READ_WRITE_EXECUTE)
  address(80, base) // p_vaddr
  address(88, base) // p_paddr
  address(96, file.length) // p_filesz
  address(104, memoryBytes) // p_memsz
  address(112, PAGE_BYTES) // p_align
  file.set(code, ELF_HEADERS_BYTES)
  return file
}
