// The claim of all names, rehearsed: a person in a terminal, whom the registry asks for the second factor and to be slower, who
// presses Ctrl-C, closes the terminal, and starts again.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PUBLISHER } from './claim.ts'
import { noOtherHost, run } from './processes.ts'
import { BYPASS_TOKEN, type Registry, TOKEN } from './registry.ts'

/** What GitHub says of the workflow, and what each package is to trust. */
export const CLAIMS = {
  repository: PUBLISHER.repository,
  workflow_ref: { file: PUBLISHER.file },
  environment: PUBLISHER.environment,
}
const CTRL_C = '\u0003'
const TIMEOUT_MS = 900_000

/** A claim in a terminal of its own. */
interface Terminal {
  /** Types into the terminal. */
  type(text: string): void
  /** Closes the terminal. */
  close(): void
  /** Resolves to the exit code and all that was shown. */
  readonly ended: Promise<{ readonly code: number | null; readonly shown: string }>
}

/** Whether `script` of util-linux is there, which gives a program a terminal. */
export function hasTerminals(): boolean {
  return process.platform === 'linux' && spawnSync('script', ['--version']).status === 0
}

function claimInTerminal(copy: string, registry: Registry, userconfig: string): Terminal {
  const command = `${process.execPath} .scripts/go.mjs release claim --registry ${registry.url} --pause 0.02`
  const child = spawn('script', ['--quiet', '--flush', '--return', '--command', command, '/dev/null'], {
    cwd: copy,
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    // npm's client would wait for 10 seconds itself after 429; no window of a browser opens.
    env: {
      ...process.env,
      ...noOtherHost,
      npm_config_userconfig: userconfig,
      npm_config_fetch_retries: '0',
      INIT_CWD: copy,
    },
  })
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text
    if (text.includes('[y/N]')) child.stdin.write('y\n')
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (shown += text))
  return {
    type: (text) => child.stdin.write(text),
    close: () => child.kill('SIGKILL'),
    ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, shown: shown.replaceAll('\r', '') }))),
  }
}

/** How one run of the claim is disturbed, and what is to be seen at its end. */
interface Run {
  readonly what: string
  readonly before?: () => void
  /** The terminal is disturbed at this write to the registry. */
  readonly at?: number
  readonly disturb?: (terminal: Terminal) => void
  readonly expected: string
}

/**
 * Claims the names of all packages in a copy of the checkout that is ready for a release. Prints how each run ended; returns
 * the problems.
 *
 * @param versions - all packages with their versions, in the order of dependencies
 * @param early - how the workflow failed, which was to publish before the claim
 */
export async function rehearseClaim(
  { copy, folder, registry, env }: { copy: string; folder: string; registry: Registry; env: Record<string, string> },
  versions: readonly string[],
  [early = '']: readonly string[],
): Promise<string[]> {
  const names = versions.map((text) => text.replace(/@[^@]*$/, ''))
  const all = names.length
  const runs: Run[] = [
    { what: 'without the organisation', expected: 'https://www.npmjs.com/org/create' },
    {
      what: 'Ctrl-C at the 5th write',
      before: () => registry.createOrganisation('retrap'),
      at: 5,
      disturb: (terminal) => terminal.type(CTRL_C),
      expected: `5 of ${all} names are claimed; 0 have their trusted publisher`,
    },
    // A closed terminal shows no more.
    {
      what: 'the terminal closed 15 writes later',
      at: 15,
      disturb: (terminal) => terminal.close(),
      expected: '15 of ',
    },
    {
      what: 'Ctrl-C at the 10th trusted publisher',
      at: all - 20 + 10,
      disturb: (terminal) => terminal.type(CTRL_C),
      expected: `${all} of ${all} names are claimed; 9 have their trusted publisher`,
    },
    { what: 'to the end', expected: `All ${all} names are claimed` },
    { what: 'once more', expected: `${all} of ${all} names are claimed.` },
  ]
  const problems: string[] = []
  console.log(`       the workflow, before the claim: ${/^release: .{100}/m.exec(early)?.[0] ?? early}…`)
  if (!early.includes(`these do not exist: ${names.join(', ')}. `) || registry.published.length > 0)
    problems.push(`expected the workflow to stop before the first package: ${early}`)
  const person = login(folder, registry, TOKEN)
  for (const { what, before, at, disturb, expected } of runs) {
    before?.()
    const terminal = claimInTerminal(copy, registry, person)
    if (at !== undefined) registry.interrupt(at, () => disturb?.(terminal))
    const { shown } = await terminal.ended
    const line = shown.split('\n').findLast((text) => text.includes(expected))
    console.log(`       claim, ${what}: ${line?.trim() ?? 'not as expected'}`)
    if (line === undefined) problems.push(`claim, ${what}: expected "${expected}" in\n${shown}`)
  }
  console.log(`       second factors: ${registry.asked.factors}, waits: ${registry.asked.waits}`)
  if (registry.published.join() !== versions.join() || versions.some((text) => !registry.byPerson.has(text)))
    problems.push(`claimed were ${registry.published.join(', ')}; expected ${versions.join(', ')}`)
  for (const name of names)
    if (JSON.stringify(registry.trusted.get(name)) !== JSON.stringify(CLAIMS))
      problems.push(`${name} does not trust the workflow`)
  if (registry.asked.factors < 2 || registry.asked.waits < 2)
    problems.push('the registry asked for no second factor again, or for no wait')
  return [...problems, ...(await byToken(folder, registry, env))]
}

/** A token that bypasses the second factor creates no name. */
async function byToken(folder: string, registry: Registry, env: Record<string, string>): Promise<string[]> {
  const example = join(folder, 'example')
  mkdirSync(example)
  writeFileSync(join(example, 'package.json'), '{ "name": "@retrap/example", "version": "1.0.0" }\n')
  const userconfig = login(folder, registry, BYPASS_TOKEN)
  const settings = {
    ...env,
    npm_config_userconfig: userconfig,
    npm_config_registry: registry.url,
    npm_config_loglevel: 'warn',
  }
  const { message = 'it was published' } = await run('npm', ['publish', '--access=public'], example, settings)
  const code = /code (E\w+)/.exec(message)?.[1]
  console.log(`       a new name, by a token that bypasses the second factor: ${code}`)
  return code === 'E404' ? [] : [`expected the registry to refuse a new name to a token: ${message}`]
}

/** Returns a file of npm's settings with a login. */
function login(folder: string, { url }: Registry, token: string): string {
  const userconfig = join(folder, `${token}.npmrc`)
  writeFileSync(userconfig, `${url.replace('http:', '')}:_authToken=${token}\n`)
  return userconfig
}
