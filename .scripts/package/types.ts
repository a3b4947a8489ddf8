import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Member, root } from '../workspace.ts'

/** What each package has its programs and tests in; what `src` is in is referred to from there. */
const PROJECT = 'tsconfig.test.json'

/**
 * Type-checks packages and all that they stand on, sources, tests and examples, and writes the declarations. One compiler for
 * all of them takes a fifth of what one for each does.
 *
 * @returns what tsc says, if anything is wrong
 */
export async function checkTypes(selected: readonly Member[]): Promise<string[]> {
  const outputs = [await tsc('-b', ...selected.map(({ path }) => `${path}/${PROJECT}`))]
  // Sources that Vite bundles have no declarations, and no project refers to them.
  for (const { folder, path } of selected)
    if (existsSync(join(folder, 'build/vite.config.ts'))) outputs.push(await tsc('-p', path))
  return outputs.filter((output) => output !== '')
}

function tsc(...args: string[]): Promise<string> {
  const child = spawn('tsc', args, { cwd: root, shell: process.platform === 'win32' })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve) => {
    child.once('error', ({ message }) => resolve(message))
    child.once('close', (code) => resolve(code === 0 ? '' : `${output}tsc ${args[0]} ended with exit code ${code}`))
  })
}
