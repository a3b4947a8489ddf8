/** Other people's programs, and where in them the code is. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync, globSync } from 'node:fs'
import { join } from 'node:path'
import type { DebianMembers } from '@retrap/tooling/debian'

/** A program of Debian's. */
export interface Corpus extends DebianMembers {
  /** Shown in tables. */
  readonly name: string
  readonly mode: 16 | 32 | 64
  /** `elf` has sections; `vmlinuz` is unpacked first; of `bios` the last 64 KiB are code of the real mode. */
  readonly kind: 'elf' | 'vmlinuz' | 'bios'
}

/** A run of code, read from its first byte to its last. */
export interface Section {
  readonly name: string
  readonly address: number
  readonly bytes: Uint8Array
}

const program = (name: string, path: string, mode: 32 | 64 = 64): Corpus => ({
  name: `${path.slice(path.lastIndexOf('/') + 1).replace(/\.?\*$/, '')}${mode === 32 ? ' (i386)' : ''}`,
  package: mode === 32 ? `${name}:i386` : name,
  members: [`./${path}`],
  mode,
  kind: 'elf',
})
const library = (name: string, file: string): Corpus => program(name, `usr/lib/x86_64-linux-gnu/${file}`)
const library32 = (name: string, file: string): Corpus => program(name, `usr/lib/i386-linux-gnu/${file}`, 32)

/** What is compared. Together they hold every vector extension that compilers and assembler programmers use. */
export const corpora: readonly Corpus[] = [
  program('bash', 'bin/bash'),
  program('busybox-static', 'bin/busybox'),
  program('perl-base', 'usr/bin/perl'),
  program('python3.11-minimal', 'usr/bin/python3.11'),
  program('git', 'usr/bin/git'),
  program('gdb', 'usr/bin/gdb'),
  program('cpp-12', 'usr/lib/gcc/x86_64-linux-gnu/12/cc1'),
  program('libc6', 'lib/x86_64-linux-gnu/libc.so.6'),
  program('libc6', 'lib/x86_64-linux-gnu/libm.so.6'),
  library('libstdc++6', 'libstdc++.so.6.0.30'),
  library('libssl3', 'libcrypto.so.3'),
  library('libgcrypt20', 'libgcrypt.so.20.*'),
  library('libgmp10', 'libgmp.so.10.*'),
  library('libsqlite3-0', 'libsqlite3.so.0.8.6'),
  library('libopenblas0-pthread', 'openblas-pthread/libopenblasp-r0.3.21.so'),
  library('libavcodec59', 'libavcodec.so.59.*'),
  library('libx264-164', 'libx264.so.164'),
  library('libx265-199', 'libx265.so.199'),
  library('libsimdjson14', 'libsimdjson.so.14.*'),
  library('libdav1d6', 'libdav1d.so.6.*'),
  library('libsvtav1enc1', 'libSvtAv1Enc.so.1.*'),
  library('libblosc1', 'libblosc.so.1.*'),
  library('libisal2', 'libisal.so.2.*'),
  library('libvpx7', 'libvpx.so.7.*'),
  {
    ...program('linux-image-cloud-amd64', 'boot/vmlinuz-*'),
    dependency: 'linux-image-',
    name: 'vmlinux',
    kind: 'vmlinuz',
  },
  program('bash', 'bin/bash', 32),
  program('busybox-static', 'bin/busybox', 32),
  program('perl-base', 'usr/bin/perl', 32),
  program('libc6', 'lib/i386-linux-gnu/libc.so.6', 32),
  library32('libssl3', 'libcrypto.so.3'),
  library32('libgmp10', 'libgmp.so.10.*'),
  library32('libx264-164', 'libx264.so.164'),
  library32('libavcodec59', 'libavcodec.so.59.*'),
  {
    name: 'bios-256k.bin (16-bit)',
    package: 'seabios',
    members: ['./usr/share/seabios/bios-256k.bin'],
    mode: 16,
    kind: 'bios',
  },
]

/** A program ready to be read. */
export interface Code {
  readonly corpus: Corpus
  /** What to give objdump. */
  readonly path: string
  readonly sections: readonly Section[]
}

const SHT_PROGBITS = 1
const SHF_EXECINSTR = 4

/** The sections of an ELF file that hold code. */
function executableSections(file: Buffer): Section[] {
  const wide = file[4] === 2
  const word = (at: number): number => (wide ? Number(file.readBigUInt64LE(at)) : file.readUInt32LE(at))
  const table = word(wide ? 0x28 : 0x20)
  const size = file.readUInt16LE(wide ? 0x3a : 0x2e)
  const count = file.readUInt16LE(wide ? 0x3c : 0x30)
  const at = (i: number, narrowField: number, wideField: number): number =>
    word(table + i * size + (wide ? wideField : narrowField))
  const names = at(file.readUInt16LE(wide ? 0x3e : 0x32), 0x10, 0x18)
  const sections: Section[] = []
  for (let i = 0; i < count; i++) {
    const header = table + i * size
    if (file.readUInt32LE(header + 4) !== SHT_PROGBITS || (at(i, 8, 8) & SHF_EXECINSTR) === 0) continue
    const name = names + file.readUInt32LE(header)
    const offset = at(i, 0x10, 0x18)
    sections.push({
      name: file.toString('latin1', name, file.indexOf(0, name)),
      // Only differences count: kernels are in the upper half, and numbers keep the low 53 bits.
      address: wide ? Number(BigInt.asUintN(48, file.readBigUInt64LE(header + 0x10))) : file.readUInt32LE(header + 0xc),
      bytes: file.subarray(offset, offset + at(i, 0x14, 0x20)),
    })
  }
  return sections
}

/** One block of LZ4 (lz4, doc/lz4_Block_format.md), appended to `out` at `to`. Returns the index after it. */
function unpackBlock(block: Uint8Array, out: Uint8Array, to: number): number {
  let at = 0
  const more = (length: number): number => {
    if ((length & 15) !== 15) return length
    let byte: number
    do {
      byte = block[at++] as number
      length += byte
    } while (byte === 255)
    return length
  }
  while (at < block.length) {
    const token = block[at++] as number
    const literals = more(token >> 4)
    out.set(block.subarray(at, at + literals), to)
    at += literals
    to += literals
    if (at >= block.length) break
    const distance = (block[at] as number) | ((block[at + 1] as number) << 8)
    at += 2
    // A match may overlap what it makes.
    for (let length = more(token & 15) + 4; length > 0; length--, to++) out[to] = out[to - distance] as number
  }
  return to
}

const LZ4_LEGACY = 0x184c_2102

/**
 * The ELF file in a bzImage (Linux, Documentation/arch/x86/boot.rst: payload_offset, payload_length), as Debian packs it:
 * LZ4 in its legacy frame, with the unpacked size behind.
 */
function unpackKernel(file: Buffer): Buffer {
  const start = (file.readUInt8(0x1f1) + 1) * 512 + file.readUInt32LE(0x248)
  const end = start + file.readUInt32LE(0x24c) - 4
  if (file.readUInt32LE(start) !== LZ4_LEGACY) throw new Error('the kernel is not packed with LZ4')
  const out = Buffer.alloc(file.readUInt32LE(end))
  let to = 0
  for (let at = start + 4; at < end;) {
    const size = file.readUInt32LE(at)
    to = unpackBlock(file.subarray(at + 4, at + 4 + size), out, to)
    at += 4 + size
  }
  return out
}

/** Reads a corpus whose package was unpacked into `folder`. */
export function readCode(corpus: Corpus, folder: string, scratch: string): Code {
  const [found] = globSync((corpus.members[0] as string).slice(2), { cwd: folder })
  if (found === undefined) throw new Error(`${corpus.package} has no ${corpus.members.join()}`)
  let path = join(folder, found)
  let file: Buffer = readFileSync(path)
  switch (corpus.kind) {
    case 'elf':
      break
    case 'vmlinuz':
      file = unpackKernel(file)
      path = join(scratch, 'vmlinux')
      writeFileSync(path, file)
      break
    default:
      file = file.subarray(-0x1_0000)
      path = join(scratch, 'bios')
      writeFileSync(path, file)
      return { corpus, path, sections: [{ name: 'F segment', address: 0, bytes: file }] }
  }
  return { corpus, path, sections: executableSections(file) }
}

/** Whether the programs that the comparison needs are here. */
export const hasObjdump = (): boolean => {
  try {
    execFileSync('objdump', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
