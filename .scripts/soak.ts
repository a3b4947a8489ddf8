// npm run -s soak -- NAME [--count N] [--seed S] [--from I]
//
// Runs `test/soak/NAME.soak.ts` of whichever package has it; packages/tooling/src/soak.ts says what such a file exports.
// Progress is on stderr. The last line on stdout is `NAME: N steps, V violations`; the exit code is 1 if V > 0.
import { parseArgs } from 'node:util'
import { runSoak, type Soak } from '../packages/tooling/src/soak.ts'
import { provideDebianPrograms } from './debian.ts'
import { choose, programs } from './workspace.ts'

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { count: { type: 'string' }, seed: { type: 'string' }, from: { type: 'string' } },
  })
  const number = (option: 'count' | 'seed' | 'from', least: number): number | undefined => {
    const text = values[option]
    if (text === undefined) return undefined
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < least)
      throw new Error(`--${option} takes a whole number from ${least}, not ${text}`)
    return value
  }
  const file = choose('soak', programs('test/soak/*.soak.ts', '.soak.ts'), positionals[0])
  provideDebianPrograms()
  const { soak } = (await import(file)) as { soak: Soak }
  // A seed that is not given is drawn, and printed with a failure.
  const seed = number('seed', 0) ?? Math.floor(Math.random() * 2 ** 32)
  const count = number('count', 1) ?? soak.count ?? 1000
  const terminal = process.stderr.isTTY
  let said = 0
  const progress = (done: number, violations: number): void => {
    const line = `${soak.name}: ${done} of ${count} steps, ${violations} violations`
    if (terminal) process.stderr.write(`\r\x1b[K${line}`)
    else if (performance.now() - said > 30_000) {
      said = performance.now()
      process.stderr.write(`${line}\n`)
    }
  }
  const result = await runSoak(soak, { count, seed, from: number('from', 0) ?? 0, progress })
  if (terminal) process.stderr.write('\r\x1b[K')
  if (result.smallest !== undefined) {
    const { index, message, notes, draws } = result.smallest
    console.log(`smallest failing case (${draws} draws), seed ${seed}, step ${index}:`)
    for (const note of notes) console.log(`  ${note}`)
    console.log(`  ${message.replaceAll('\n', '\n  ')}`)
    console.log(`again: npm run -s soak -- ${soak.name} --seed ${seed} --from ${index} --count 1`)
  }
  console.log(`${soak.name}: ${result.steps} steps, ${result.violations} violations`)
  return result.violations > 0 ? 1 : 0
}

try {
  // A step that has failed may have left timers behind, and threads.
  process.exit(await main())
} catch (error) {
  console.error(`soak: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 2
}
