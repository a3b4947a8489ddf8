// LLVM's assembler, which knows what is newer than GNU as 2.40: Intel-syntax lines in, the bytes of each out.
import { spawnSync } from 'node:child_process'
import { hasProgram } from '@retrap/tooling/skip'

const PROGRAM = 'llvm-mc-22'

/** What has to be asked for by name; all else comes with the CPU. */
const FEATURES = 'avx10.2-512 avx512er avx512pf egpr push2pop2 ppx ndd ccmp nf cf zu jmpabs'.split(' ')

/** True where it is installed. */
export function hasLlvm(): boolean {
  return hasProgram(PROGRAM)
}

/** Assembles every line on its own. Each answer is the bytes, or the message with which the line was refused. */
export function assembleWithLlvm(lines: readonly string[], bits: 16 | 32 | 64): (Uint8Array | string)[] {
  const source = ['.intel_syntax noprefix', ...lines.flatMap((line, index) => [`.Lcase${index}:`, line])].join('\n')
  const { stdout, stderr, error } = spawnSync(
    PROGRAM,
    [
      bits === 64 ? '--triple=x86_64' : bits === 32 ? '--triple=i386' : '--triple=i386-pc-linux-code16',
      `--mattr=${FEATURES.map((name) => `+${name}`).join(',')}`,
      '--show-encoding',
    ],
    { input: `${source}\n`, encoding: 'utf8', maxBuffer: 1 << 28 },
  )
  if (error !== undefined) throw error
  const answers: (Uint8Array | string)[] = lines.map(() => 'no answer')
  let current = -1
  for (const line of stdout.split('\n')) {
    const label = /^\.Lcase(\d+):/.exec(line)
    if (label !== null) current = Number(label[1])
    const encoding = /encoding: \[([^\]]*)\]/.exec(line)
    if (encoding !== null) answers[current] = Uint8Array.from((encoding[1] ?? '').split(','), Number)
  }
  // Two lines of source for each case, after a head of one.
  for (const match of stderr.matchAll(/^<stdin>:(\d+):\d+: error: (.*)$/gm)) {
    answers[(Number(match[1]) - 3) >> 1] = match[2] ?? ''
  }
  return answers
}
