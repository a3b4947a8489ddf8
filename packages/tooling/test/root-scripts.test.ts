/** What every root script begins with, `.scripts/go.mjs`: what it installs and builds, and that nothing outlives it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'

const SCRIPTS = fileURLToPath(new URL('../../../.scripts', import.meta.url))
const PNPM = { name: 'pnpm', version: '^1.2.3' }
/** Logs what it is asked for, and installs Node where scripts may run; `PNPM_FAILS` interrupts it. */
const FAKE_PNPM = `#!/bin/sh
echo "pnpm $*" >> log
mkdir -p node_modules
[ -z "$PNPM_FAILS" ] || exit 1
touch node_modules/.modules.yaml
`
const BUILD = `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
appendFileSync('log', 'build\\n')
mkdirSync('apps/retrap/dist', { recursive: true })
writeFileSync('apps/retrap/dist/main.js', '')
`
/** Starts a program in a group of its own, as turbo does, and tells which. */
const PROGRAM = `import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
mkdtempSync(join(tmpdir(), 'rest-'))
const child = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true })
process.on('SIGTERM', () => { console.log('ends'); process.exit(3) })
console.log(process.pid, child.pid)
setInterval(() => {}, 1000)
`

const made: string[] = []
let checkout = ''

beforeEach(() => {
  checkout = fs.mkdtempSync(join(tmpdir(), 'retrap-checkout-'))
  made.push(checkout)
  for (const folder of ['.scripts', 'apps/retrap', 'packages', 'bin', 'tmp'])
    fs.mkdirSync(join(checkout, folder), { recursive: true })
  for (const file of ['go.mjs', 'group.mjs']) fs.cpSync(join(SCRIPTS, file), join(checkout, '.scripts', file))
  const files = {
    'package.json': JSON.stringify({ type: 'module', devEngines: { packageManager: PNPM } }),
    'pnpm-lock.yaml': '',
    'pnpm-workspace.yaml': '',
    'apps/retrap/package.json': '{}',
    'bin/pnpm': FAKE_PNPM,
    '.scripts/build.ts': BUILD,
    '.scripts/soak.ts': PROGRAM,
    '.scripts/release.ts': PROGRAM,
  }
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(join(checkout, name), text)
  fs.chmodSync(join(checkout, 'bin/pnpm'), 0o755)
})
afterAll(() => made.forEach((folder) => fs.rmSync(folder, { recursive: true })))

/** A script that the pinned pnpm starts finds that one on PATH: here it is the fake. */
const environment = (more: object = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  npm_config_user_agent: 'pnpm/1.2.3 ',
  npm_lifecycle_event: 'a script',
  PATH: [join(checkout, 'bin'), dirname(process.execPath), process.env['PATH']].join(delimiter),
  RETRAP_GROUP: undefined,
  TMPDIR: join(checkout, 'tmp'),
  ...more,
})

/** Runs a root script. @returns what it installed and built */
function go(command: string, env: object = {}): string[] {
  spawnSync(process.execPath, ['.scripts/go.mjs', ...command.split(' ')], { cwd: checkout, env: environment(env) })
  const log = join(checkout, 'log')
  const lines = fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trimEnd().split('\n') : []
  fs.rmSync(log, { force: true })
  return lines.map((line) => line.replace(/ --filter.*$/, ' some'))
}

describe.skipIf(process.platform === 'win32')('a root script', () => {
  test('installs and builds for the command alone at first, and everything when a script needs it', () => {
    const noProgram = join(checkout, '.scripts/soak.ts')
    fs.writeFileSync(noProgram, '')
    expect(go('start')).toEqual(['pnpm install some', 'build'])
    expect(go('start')).toEqual([])
    expect(go('soak')).toEqual(['pnpm install'])
    expect(go('start')).toEqual([])
    fs.writeFileSync(join(checkout, 'pnpm-lock.yaml'), 'changed')
    // Nothing that is there is taken away again.
    expect(go('retrap --help')).toEqual(['pnpm install'])
  })

  test('goes on with what was interrupted', () => {
    const fails = { PNPM_FAILS: '1' }
    expect(go('start', fails)).toEqual(['pnpm install some'])
    expect(go('start')).toEqual(['pnpm install some', 'build'])
    expect(go('soak', fails)).toEqual(['pnpm install'])
    expect(go('start')).toEqual(['pnpm install'])
  })

  test('installs everything for the site', () => {
    expect(go('retrap web')[0]).toEqual('pnpm install')
  })

  test('installs everything in a checkout that has been installed by hand', () => {
    fs.mkdirSync(join(checkout, 'node_modules'))
    fs.writeFileSync(join(checkout, 'node_modules/.modules.yaml'), '')
    expect(go('start')).toEqual(['pnpm install', 'build'])
  })
})

/** Starts a root script behind a shell, as npm does. @returns the shell, and the processes of the script */
async function begin(
  command: string,
): Promise<{ readonly shell: ChildProcess; readonly pids: number[]; text: () => string }> {
  const line = `"${process.execPath}" .scripts/go.mjs ${command}; exit $?`
  const shell = spawn('sh', ['-c', line], { cwd: checkout, env: environment(), stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  shell.stdout.setEncoding('utf8').on('data', (some: string) => (text += some))
  while (!text.includes('\n')) await setTimeout(20)
  return { shell, pids: text.split(/\s+/).slice(0, 2).map(Number), text: () => text }
}

function isAlive(pid: number): boolean {
  // A process that nobody has waited for yet has ended too.
  return /^State:\t[^ZX]/m.test(fs.existsSync(`/proc/${pid}`) ? fs.readFileSync(`/proc/${pid}/status`, 'utf8') : '')
}

describe.skipIf(process.platform !== 'linux')('a root script that is killed', () => {
  test.each(['soak', 'release'])('ends all that it has started, though npm tells only a shell: %s', async (command) => {
    go('soak', { PNPM_FAILS: '1' })
    const { shell, pids, text } = await begin(command)
    expect(pids.map(isAlive)).toEqual([true, true])
    shell.kill('SIGTERM')
    while (pids.some(isAlive)) await setTimeout(20)
    expect(text()).toMatch(/ends\n$/)
    while (fs.readdirSync(join(checkout, 'tmp')).length > 0 && command === 'release') await setTimeout(20)
  })

  test('leaves a temporary folder to the next one, where it could not remove it', () => {
    const abandoned = join(checkout, 'tmp/retrap-release-999999999-abc')
    fs.mkdirSync(join(abandoned, 'copy'), { recursive: true })
    fs.writeFileSync(join(checkout, '.scripts/release.ts'), '')
    go('release')
    expect(fs.readdirSync(join(checkout, 'tmp'))).toEqual([])
  })
})

describe('workflows', () => {
  const folder = join(SCRIPTS, '..', '.github', 'workflows')
  const pins = fs.readFileSync(join(SCRIPTS, '../pnpm-workspace.yaml'), 'utf8')
  const pinnedNode = /^ {2}node: (\d+\.\d+\.\d+)$/m.exec(pins)?.[1] ?? 'none'
  const jobs = fs.readdirSync(folder).flatMap((file) => {
    const [, ...parts] = fs.readFileSync(join(folder, file), 'utf8').split(/^ {2}([\w-]+):\n(?= {4})/m)
    return Array.from({ length: parts.length / 2 }, (_, i) => ({
      name: `${file}: ${parts[2 * i]}`,
      text: parts[2 * i + 1]!,
    }))
  })

  test('name actions by commit', () => {
    const used = jobs.flatMap(({ text }) => text.match(/uses: .*/g) ?? [])
    expect(used.length).toBeGreaterThan(10)
    expect(used.filter((each) => !/@[0-9a-f]{40} # v[\d.]+$/.test(each))).toEqual([])
  })

  test('keep no credentials, and run no tests with rights to write', () => {
    const keep = jobs.filter(
      ({ text }) => text.split('actions/checkout@').length !== text.split('persist-credentials: false').length,
    )
    // It pushes to a branch.
    expect(keep.map(({ name }) => name)).toEqual(['soak.yml: figures'])
    const writing = jobs.filter(({ text }) => /: write$/m.test(text))
    expect(writing.map(({ name }) => name)).toEqual(['release.yml: release', 'soak.yml: figures'])
    expect(writing.filter(({ text }) => /npm test|rehearse/.test(text))).toEqual([])
  })

  test('publish by an identity that the packages on npm trust, and have no token', () => {
    const claim = fs.readFileSync(join(SCRIPTS, 'release/claim.ts'), 'utf8')
    const trusted = /PUBLISHER = \{ repository: '(.+)', file: '(.+)', environment: '(.+)' \}/.exec(claim) ?? []
    const publishing = jobs.filter(({ text }) => text.includes('release -- publish'))
    expect(publishing.map(({ name }) => name)).toEqual([`${trusted[2]}: release`])
    expect(publishing[0]!.text).toContain(`if: github.repository == '${trusted[1]}'\n`)
    expect(publishing[0]!.text).toContain(`\n    environment: ${trusted[3]}\n`)
    expect(publishing[0]!.text).toContain('\n      id-token: write\n')
    expect(jobs.filter(({ text }) => /NPM_TOKEN|NODE_AUTH_TOKEN|registry-url: /.test(text))).toEqual([])
  })

  test('an updater has rules for packages that are pinned, and finds the version of Node that pnpm has', () => {
    const { packageRules, customManagers } = JSON.parse(fs.readFileSync(join(folder, '../renovate.json'), 'utf8')) as {
      readonly packageRules: readonly { readonly matchPackageNames?: readonly string[] }[]
      readonly customManagers: readonly { readonly matchStrings: readonly string[] }[]
    }
    for (const name of packageRules.flatMap(({ matchPackageNames = [] }) => matchPackageNames))
      expect(pins).toMatch(new RegExp(`^  '?${name}'?: `, 'm'))
    for (const pattern of customManagers.flatMap(({ matchStrings }) => matchStrings))
      expect(new RegExp(pattern).exec(pins)?.groups?.['currentValue']).toBe(pinnedNode)
  })

  test('a release is rehearsed under each line of Node that the documentation calls tested', () => {
    const support = fs.readFileSync(join(SCRIPTS, '../apps/docs/pages/support.md'), 'utf8')
    const tested = /^\| Node (.*) on Linux/m.exec(support)?.[1]?.split(', ') ?? []
    const others = fs.readFileSync(join(SCRIPTS, 'release/nodes.ts'), 'utf8').matchAll(/^ {2}'([\d.]+)': \{$/gm)
    const line = (version: string): number => Number.parseInt(version, 10)
    expect([...Array.from(others, ([, version]) => line(version!)), line(pinnedNode)]).toEqual(tested.map(line))
  })
})
