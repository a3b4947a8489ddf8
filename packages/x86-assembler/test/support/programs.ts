// Other people's programs, out of Debian's packages, and where in them the code is.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DebianMembers } from '@retrap/tooling/debian'

export interface Program extends DebianMembers {
  readonly name: string
  readonly bits: 16 | 32 | 64
}

/** A run of code, read from its first byte to its last. */
export interface CodeSection {
  readonly address: number
  readonly bytes: Uint8Array
}

function elf(name: string, from: string, path: string, bits: 32 | 64 = 64): Program {
  return { name, package: from, members: [`./${path}`], bits }
}

/** Compilers' code, assembler programmers' with every vector extension, and code of 32 and of 16 bits. */
export const programs: readonly Program[] = [
  elf('bash', 'bash', 'bin/bash'),
  elf('libc', 'libc6', 'lib/x86_64-linux-gnu/libc.so.6'),
  elf('libstdc++', 'libstdc++6', 'usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30'),
  elf('libcrypto', 'libssl3', 'usr/lib/x86_64-linux-gnu/libcrypto.so.3'),
  elf('OpenBLAS', 'libopenblas0-pthread', 'usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so'),
  elf('x264', 'libx264-164', 'usr/lib/x86_64-linux-gnu/libx264.so.164'),
  elf('libc (i386)', 'libc6:i386', 'lib/i386-linux-gnu/libc.so.6', 32),
  elf('x264 (i386)', 'libx264-164:i386', 'usr/lib/i386-linux-gnu/libx264.so.164', 32),
  { name: 'SeaBIOS', package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'], bits: 16 },
]

const SHT_PROGBITS = 1
const SHF_EXECINSTR = 4
/** Of a BIOS the last 64 KiB are code of the real mode. */
const REAL_MODE_BYTES = 0x1_0000

/** The sections of an ELF file that hold code. */
function executableSections(file: Buffer): CodeSection[] {
  const wide = file[4] === 2
  const word = (at: number): number => (wide ? Number(file.readBigUInt64LE(at)) : file.readUInt32LE(at))
  const table = word(wide ? 0x28 : 0x20)
  const size = file.readUInt16LE(wide ? 0x3a : 0x2e)
  const count = file.readUInt16LE(wide ? 0x3c : 0x30)
  const headers = Array.from({ length: count }, (_, index) => table + index * size)
  return headers
    .filter((at) => file.readUInt32LE(at + 4) === SHT_PROGBITS && (word(at + 8) & SHF_EXECINSTR) !== 0)
    .map((at) => {
      const offset = word(at + (wide ? 0x18 : 0x10))
      return {
        address: word(at + (wide ? 0x10 : 0xc)),
        bytes: new Uint8Array(file.subarray(offset, offset + word(at + (wide ? 0x20 : 0x14)))),
      }
    })
}

/** The code of a program whose package was unpacked into `folder`. */
export function codeOf(program: Program, folder: string): CodeSection[] {
  const [found] = globSync((program.members[0] ?? '').slice(2), { cwd: folder })
  if (found === undefined) throw new Error(`${program.package} has no ${program.members.join()}`)
  const file = readFileSync(join(folder, found))
  if (program.bits !== 16) return executableSections(file)
  return [{ address: 0, bytes: new Uint8Array(file.subarray(-REAL_MODE_BYTES)) }]
}
