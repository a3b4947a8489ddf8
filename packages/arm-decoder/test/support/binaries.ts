/** Debian's programs for arm64 and armhf: every word of their code, by two other disassemblers and by ours. */
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DebianMembers } from '@retrap/tooling/debian'
import { isWideThumb } from '../../src/index.ts'
import { explain } from './differences.ts'
import { accessesMemory, LLVM_OPTIONS, normal, ours, PREFIX, type SetName } from './disassembly.ts'

/** A program of Debian's. */
export interface Binary extends DebianMembers {
  readonly name: string
  readonly architecture: 'arm64' | 'armhf'
}

const binary = (architecture: Binary['architecture'], name: string, path: string): Binary => ({
  name: `${path.slice(path.lastIndexOf('/') + 1).replace(/\.?\*$/, '')} (${architecture})`,
  architecture,
  package: `${name}:${architecture}`,
  members: [`./${path.replace('TRIPLET', architecture === 'arm64' ? 'aarch64-linux-gnu' : 'arm-linux-gnueabihf')}`],
})

const PROGRAMS: readonly (readonly [string, string])[] = [
  ['bash', 'bin/bash'],
  ['busybox-static', 'bin/busybox'],
  ['perl-base', 'usr/bin/perl'],
  ['python3.11-minimal', 'usr/bin/python3.11'],
  ['libc6', 'lib/TRIPLET/libc.so.6'],
  ['libc6', 'lib/TRIPLET/libm.so.6'],
  ['libstdc++6', 'usr/lib/TRIPLET/libstdc++.so.6.0.30'],
  ['libssl3', 'usr/lib/TRIPLET/libcrypto.so.3'],
  ['libgcrypt20', 'usr/lib/TRIPLET/libgcrypt.so.20.*'],
  ['libgmp10', 'usr/lib/TRIPLET/libgmp.so.10.*'],
  ['libsqlite3-0', 'usr/lib/TRIPLET/libsqlite3.so.0.8.6'],
  ['libx264-164', 'usr/lib/TRIPLET/libx264.so.164'],
  ['libdav1d6', 'usr/lib/TRIPLET/libdav1d.so.6.*'],
  ['libvpx7', 'usr/lib/TRIPLET/libvpx.so.7.*'],
]

/** What is compared: with hand-written vector code, atomics, crypto. */
export const binaries: readonly Binary[] = (['arm64', 'armhf'] as const).flatMap((architecture) =>
  PROGRAMS.map(([name, path]) => binary(architecture, name, path)),
)

/** The `.text` of a program. */
export interface Text {
  readonly path: string
  readonly address: number
  readonly bytes: Uint8Array
}

/**
 * Finds the code of a program whose package was unpacked into `folder`.
 *
 * @throws Error if there is none
 */
export function readText({ members, name }: Binary, folder: string): Text {
  const [found] = globSync((members[0] as string).slice(2), { cwd: folder })
  if (found === undefined) throw new Error(`${name} is not in its package`)
  const path = join(folder, found)
  const file = readFileSync(path)
  const wide = file[4] === 2
  const word = (at: number): number => (wide ? Number(file.readBigUInt64LE(at)) : file.readUInt32LE(at))
  const table = word(wide ? 0x28 : 0x20)
  const size = file.readUInt16LE(wide ? 0x3a : 0x2e)
  const headers = Array.from({ length: file.readUInt16LE(wide ? 0x3c : 0x30) }, (_, index) => table + index * size)
  const names = word((headers[file.readUInt16LE(wide ? 0x3e : 0x32)] as number) + (wide ? 0x18 : 0x10))
  const text = headers.find((at) => {
    const start = names + file.readUInt32LE(at)
    return file.toString('latin1', start, start + 6) === '.text\0'
  })
  if (text === undefined) throw new Error(`${name} has no .text`)
  const start = word(text + (wide ? 0x18 : 0x10))
  return {
    path,
    address: word(text + (wide ? 0x10 : 0xc)),
    bytes: file.subarray(start, start + word(text + (wide ? 0x20 : 0x14))),
  }
}

/** What a comparison found. */
export interface Compared {
  instructions: number
  /** Loads and stores, by our decoder. */
  accesses: number
  /** Differences with a known reason, by the reason. */
  readonly known: Map<string, number>
  readonly unknown: string[]
}

export const nothingCompared = (): Compared => ({ instructions: 0, accesses: 0, known: new Map(), unknown: [] })

/** Bytes that are disassembled at once. */
const CHUNK = 1 << 20

/** Compares a part of a program (all of it unless given), and adds what it finds. */
export function compareText(
  { architecture }: Binary,
  { path, address, bytes }: Text,
  tool: 'llvm' | 'gnu',
  into: Compared,
  from = 0,
  to: number = bytes.length,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let start = from; start < to; start += CHUNK) {
    const end = Math.min(start + CHUNK, to)
    const listing = disassembleText(architecture, path, tool, address + start, address + end)
    if (architecture === 'arm64') compare64(listing, view, address, tool, into)
    else compareThumb(listing, view, address, tool, into)
  }
}

function disassembleText(
  architecture: Binary['architecture'],
  path: string,
  tool: 'llvm' | 'gnu',
  start: number,
  end: number,
): string {
  const set = architecture === 'arm64' ? 'a64' : 't32'
  const program = tool === 'llvm' ? 'llvm-objdump-22' : `${PREFIX[set]}-objdump`
  const options =
    tool === 'llvm'
      ? ['--no-print-imm-hex', ...LLVM_OPTIONS[set]]
      : architecture === 'arm64'
        ? []
        : ['-M', 'force-thumb']
  const { stdout, status } = spawnSync(
    program,
    ['-d', '-j', '.text', '--no-show-raw-insn', `--start-address=${start}`, `--stop-address=${end}`, ...options, path],
    { encoding: 'utf8', maxBuffer: 1 << 29, stdio: ['ignore', 'pipe', 'ignore'] },
  )
  if (status !== 0) throw new Error(`${program} ended with ${status}`)
  return stdout
}

/** What may be a load or store: the rest need not be looked at closely. */
const CANDIDATE = /^(ld|st|swp|cas|prf|rprf|cpy|set|dc|ic|at|gcs|rcw|irg|push|pop|v|f|pl|tb|rfe|srs|mcr)/
const NO_INSTRUCTION = /<unknown>|undefined|\?\?|^\.inst/i

/** Where GNU's listing differs and LLVM's does not: each is looked at in its own listing. */
const GNU_DIFFERENCES: readonly (readonly [
  string,
  (our: string, their: string, set: SetName, word: number) => boolean,
])[] = [
  ['binutils 2.40 does not know it, or knows it as unallocated', (our, their) => our !== '' && their === ''],
  ['prefetch operations have newer names', (our, their) => our.startsWith('prfm') && their.startsWith('prfm #')],
  ['an empty list is unpredictable: refused', (our, their) => our === '' && their.endsWith('{}')],
  [
    'PC or SP where it is unpredictable: refused',
    (our, their, set) => our === '' && set === 't32' && /\b(pc|sp)\b/.test(their),
  ],
  [
    'a register offset with bits 11:6 other than 0 is unallocated',
    (our, their, set, word) => our === '' && set === 't32' && word >>> 25 === 0x7c && (word & 0xfc0) !== 0,
  ],
  ['system registers are loaded and stored in the M profile', (our, their) => our === '' && /^v(ldr|str)$/.test(their)],
  ['the FPA left the architecture', (our, their) => our === '' && /^(ld|st)f|^[ls]fm/.test(their)],
  ['prefetches have no writeback', (our, their) => /^ldrs?[bh] pc.*!$/.test(our) && their.startsWith('pl')],
]

/** Calls back with each line's address and text. */
function eachLine(listing: string, line: (address: number, text: string) => void): void {
  const pattern = /^ *([0-9a-f]+):[ \t]+(.*)$/gm
  for (let match = pattern.exec(listing); match !== null; match = pattern.exec(listing)) {
    line(parseInt(match[1] as string, 16), match[2] as string)
  }
}

function judge(set: SetName, word: number, address: number, text: string, tool: 'llvm' | 'gnu', into: Compared): void {
  const our = ours(set, word, address)
  into.instructions++
  if (our !== '') into.accesses++
  if (our === '' && !CANDIDATE.test(text)) return
  const full = NO_INSTRUCTION.test(text) ? '' : spell(set, text)
  // Whichever it is: STRBLE may end in a condition, and VPUSH does not.
  const plain = set === 'a64' || full === our ? full : full.replace(CONDITION, '$1').replace(/^(\w+)\.w /, '$1 ')
  for (const candidate of [full, plain]) if (difference(set, our, candidate, word, tool) === '') return
  const reason = difference(set, our, plain, word, tool)
  if (reason === undefined) into.unknown.push(`${address.toString(16)}: ${word.toString(16)}: '${our}', not '${full}'`)
  else into.known.set(reason, (into.known.get(reason) ?? 0) + 1)
}

/** Why two texts differ; '' if they do not, undefined if there is no reason. */
function difference(set: SetName, our: string, text: string, word: number, tool: 'llvm' | 'gnu'): string | undefined {
  const their = accessesMemory(set, text) ? text : ''
  if (our === their) return ''
  const known = explain(set, our, text, word)?.reason
  if (known !== undefined || tool === 'llvm') return known
  return GNU_DIFFERENCES.find(([, holds]) => holds(our, their, set, word))?.[0]
}

/** One spelling: GNU prints targets in bare hexadecimal, IA in Thumb, and blanks in other places. */
function spell(set: SetName, listed: string): string {
  const text = listed.replace(/\s+<(?!und>).*/, '').replace(/\s+/, ' ')
  if (set === 'a64') {
    return normal(
      text.replace(
        /^((?:ldr(?:sw)?|prfm) #?\w+, )([0-9a-f]+)$/,
        (_, start: string, digits: string) => `${start}#${BigInt(`0x${digits}`)}`,
      ),
    )
  }
  return normal(text.replace(/^(ldm|stm)ia(?=[a-z.<>]* )/, '$1'))
    .replace(' :', ':')
    .replace(/\{(d\d+\[\])-(d\d+\[\])\}/, '{$1, $2}')
    .replaceAll(/,(?=d\d)/g, ', ')
}

function compare64(listing: string, view: DataView, base: number, tool: 'llvm' | 'gnu', into: Compared): void {
  eachLine(listing, (address, text) => {
    const at = address - base
    if (at < 0 || at + 4 > view.byteLength) return
    const word = view.getUint32(at, true)
    judge('a64', word, address, text, tool, into)
  })
}

/** Of the IT block that the listing takes an instruction to be in; no load or store of Thumb has one in its encoding. */
const CONDITION = /^([a-z0-9]+?)(<und>|eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)(?=[. ])/

function compareThumb(listing: string, view: DataView, base: number, tool: 'llvm' | 'gnu', into: Compared): void {
  eachLine(listing, (address, text) => {
    const at = address - base
    if (at < 0 || at + 2 > view.byteLength) return
    const first = view.getUint16(at, true)
    const wide = isWideThumb(first)
    // GNU says so of an instruction that the end of the part cuts.
    if ((wide && at + 4 > view.byteLength) || text.startsWith('Address 0x')) return
    const word = wide ? first * 0x1_0000 + view.getUint16(at + 2, true) : first
    judge(wide ? 't32' : 't16', word, address, text, tool, into)
  })
}
