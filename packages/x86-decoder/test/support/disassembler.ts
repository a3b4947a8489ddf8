/** Other people's disassemblers on other people's programs. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Where the `.text` section of an ELF file is, and how long. */
export function textRange(file: string): { address: number; size: number } {
  const listing = execFileSync('objdump', ['-h', '-w', file], { encoding: 'utf8' })
  const match = /\s\.text\s+([0-9a-f]+)\s+([0-9a-f]+)/.exec(listing)
  if (match === null) throw new Error(`${file} has no .text`)
  return { address: parseInt(match[2] as string, 16), size: parseInt(match[1] as string, 16) }
}

/** Programs and libraries of an ordinary Debian, of which a test takes those that are there. */
export const debianFiles = [
  '/bin/bash',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/lib/x86_64-linux-gnu/libm.so.6',
  '/usr/lib/x86_64-linux-gnu/libstdc++.so.6',
  '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
  '/usr/lib/x86_64-linux-gnu/libavcodec.so.59',
  '/usr/bin/python3.11',
  '/usr/bin/perl',
  '/usr/lib/gcc/x86_64-linux-gnu/12/cc1',
].filter((file) => existsSync(file))
