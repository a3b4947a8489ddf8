/** The script of the GitHub Action and of GitLab's template, run as a runner would, and what both files say of it. */
import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { COMPILED, retrapCommand } from '../support/processes.ts'

const CI = fileURLToPath(new URL('../../ci/', import.meta.url))
const SCRIPT = join(CI, 'run.sh')
const root = temporaryFolder('ci')

/** A program of the shell in a folder of PATH. */
function program(folder: string, name: string, lines: string): string {
  fs.mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  fs.writeFileSync(path, `#!/bin/sh\n${lines}\n`, { mode: 0o755 })
  return path
}

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ')
const RETRAP = `exec ${quoted([process.execPath, ...retrapCommand([])])} "$@"`

/** An npm without a registry: it installs the command line that is tested here. */
const bin = join(root, 'bin')
program(
  bin,
  'npm',
  `echo "$*" >>"$NPM_LOG"
if [ "$1" = view ]; then echo '"0.9.1"'; exit; fi
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/.bin"
cp '${program(root, 'retrap', RETRAP)}' "$2/node_modules/.bin/retrap"`,
)

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly folder: string
  readonly read: (path: string) => string
}

/** Runs the script in a folder of its own, with what a runner sets. */
function run(given: Readonly<Record<string, string>>, { script = SCRIPT, args = [] as readonly string[] } = {}): Ran {
  const folder = fs.mkdtempSync(join(root, 'job-'))
  fs.writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
  const tests = [
    { name: 'echo prints', type: 'echo one', expect: 'one' },
    { name: 'a <lie> | *', type: 'echo ::set-output name=x::two', expect: 'three' },
  ]
  const plan = { machine: { firmware: 'guest.bin', memory: '16M' }, ready: 'retrap> ', tests }
  fs.writeFileSync(join(folder, 'tests.json'), JSON.stringify(plan))
  const env = {
    ...{ HOME: folder, PATH: `${bin}:/usr/bin:/bin`, RUNNER_TEMP: join(folder, 'runner') },
    ...{ NPM_LOG: join(folder, 'npm.log'), NODE_COMPILE_CACHE: COMPILED, RETRAP_UNIT_CACHE: 'off' },
    ...given,
  }
  const { status, stdout, stderr } = spawnSync('sh', [script, ...args], { cwd: folder, env, encoding: 'utf8' })
  const read = (path: string): string => fs.readFileSync(join(folder, path), 'utf8')
  return { code: status, stdout, stderr, folder, read }
}

const GITHUB = {
  ...{ GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '77', GITHUB_REPOSITORY: 'me/kernel' },
  ...{ GITHUB_OUTPUT: 'output.txt', GITHUB_STEP_SUMMARY: 'summary.md' },
}
const SLOW = { timeout: 300_000 }
/** A machine is booted, or the command line is loaded. */
const long = sliceTests(3)
const FAILED = 'retrap-results/failures/tests-json/a-lie'

long('a test that fails: exit code, summary, JUnit, recording, and how it is opened', SLOW, () => {
  const { code, stdout, stderr, folder, read } = run({
    ...GITHUB,
    ...{ RETRAP_TESTS: '\n  tests.json  \n', RETRAP_VERSION: '0.9.1', RETRAP_ARTIFACT: 'boot' },
  })
  expect([code, stderr]).toEqual([1, ''])
  expect(read('npm.log')).toBe(
    `install --no-save --no-audit --no-fund --loglevel=error --prefix ${folder}/runner/retrap-0.9.1 retrap@0.9.1\n`,
  )
  // What the guest prints gives the runner no commands.
  const [, token = '', shown = '', after = ''] =
    /^::stop-commands::(retrap-[\da-f]{32})\n([^]*)\n::\1::\n([^]*)$/.exec(stdout) ?? []
  expect(token).not.toBe('')
  expect(shown).toMatch(/^ok {5}echo prints[^]*^FAILED a <lie> \| \*[^]*^ +::set-output name=x::two$/m)
  const open = `
Open the recording of a failing test in a page, at the failure, and go back from there:

    gh run download 77 --repo me/kernel --name boot --dir retrap-results
    npx retrap@0.9.1 web --recording ${FAILED}
`
  expect(after).toBe(open)
  expect(read('retrap-results/junit/tests.json.xml')).toMatch(/<testsuites tests="2" failures="1"/)
  expect(fs.readdirSync(join(folder, FAILED))).toContain('run.recording')
  expect(read('output.txt')).toMatch(/^results=retrap-results\ncode=1\nkept=\d+-\d+\n$/)
  const summary = read('summary.md')
  expect(summary).toMatch(/^## retrap: 1 passed, 1 failed\n\n\*\*a \\<lie\\> \\\| \\\* .*\*\*\n\n {11}expected "three"/)
  // All else that comes from the guest is indented, and so no markup.
  expect(summary).toMatch(/^ {8,}::set-output name=x::two$/m)
  expect(summary.endsWith(open)).toBe(true)
})

long('in its package it takes the retrap beside it, and says for GitLab where the files are', SLOW, () => {
  const modules = join(root, 'project', 'node_modules')
  fs.mkdirSync(join(modules, 'retrap/ci'), { recursive: true })
  fs.copyFileSync(SCRIPT, join(modules, 'retrap/ci/run.sh'))
  program(join(modules, '.bin'), 'retrap', RETRAP)
  const { code, stdout, folder } = run(
    { RETRAP_TESTS: 'tests.json', CI_JOB_URL: 'https://gitlab.example/job/5', RETRAP_RESULTS: 'out/of' },
    { script: join(modules, 'retrap/ci/run.sh') },
  )
  expect(code).toBe(1)
  expect(fs.existsSync(join(folder, 'npm.log'))).toBe(false)
  expect(stdout).not.toContain('::stop')
  expect(stdout).toContain(`
    # the files: https://gitlab.example/job/5/artifacts/download
    npx retrap@latest web --recording out/of/failures/tests-json/a-lie
`)
})

long('tests that cannot run are a failure in the report as well', SLOW, () => {
  const { code, read } = run({ ...GITHUB, RETRAP_TESTS: 'none.json' })
  expect(code).toBe(74)
  expect(read('retrap-results/junit/none.json.xml')).toMatch(
    /failures="1"[^]*<failure message="exit code 74">\nretrap: none.json: there is no such file/,
  )
  expect(read('summary.md')).toMatch(/^## retrap: 0 passed, 0 failed\n\nIt ended with 74:\n\n {4}retrap: none.json/)
})

/** The script in a package whose command is a program of the shell. */
function scriptBeside(retrap: string): string {
  const modules = fs.mkdtempSync(join(root, 'modules-'))
  program(join(modules, '.bin'), 'retrap', retrap)
  fs.mkdirSync(join(modules, 'retrap/ci'), { recursive: true })
  fs.copyFileSync(SCRIPT, join(modules, 'retrap/ci/run.sh'))
  return join(modules, 'retrap/ci/run.sh')
}

test('a command line is one word for a shell in the guest', () => {
  const script = scriptBeside(`for word; do echo "[$word]"; done; exit "$CODE"`)
  const given = { ...GITHUB, RETRAP_EXEC: 'make "a b" && $(x) <y>', RETRAP_OPTIONS: '--share . --env *' }
  const { code, read } = run({ ...given, CODE: '124' }, { script })
  expect(code).toBe(124)
  expect(read('retrap-results/exec.log').trimEnd().split('\n')).toEqual(
    ['exec', '--share', '.', '--env', '*', '--', '/bin/sh', '-c', 'make "a b" && $(x) <y>'].map((word) => `[${word}]`),
  )
  expect(read('retrap-results/junit/exec.xml')).toMatch(
    /failures="1"[^]*message="exit code 124"[^]*\[make "a b" &amp;&amp; \$\(x\) &lt;y&gt;\]/,
  )
  expect(read('summary.md')).toMatch(/^## retrap: the program ended with 124\n\n {4}\[exec\]/)
  const passed = run({ ...given, CODE: '0' }, { script })
  expect([passed.code, passed.read('retrap-results/junit/exec.xml')]).toEqual([
    0,
    expect.stringMatching(/tests="1" failures="0"/),
  ])
})

test('a cluster is explored with its options, and its recording is shown', () => {
  const save = 'while [ "$1" != --junit ]; do echo "[$1]"; shift; done; echo x >"$2"; echo x >"${4%.json}.run"'
  const script = scriptBeside(`${save}; echo "retrap cluster replay \${4%.json}.run"; exit 1`)
  const given = { ...GITHUB, RETRAP_EXPLORE: '-a b.yaml', RETRAP_OPTIONS: '--images i --for 9' }
  const { code, read } = run(given, { script })
  const words = ['cluster', 'explore', './-a b.yaml', '--images', 'i', '--for', '9']
  expect([code, read('retrap-results/junit/explore.xml')]).toEqual([1, 'x\n'])
  expect(read('summary.md')).toMatch(/^## retrap: the search ended with 1\n\n {4}\[cluster\]/)
  expect(read('summary.md')).toMatch(/npx retrap@latest web --recording retrap-results\/plan.run\n$/)
  expect(read('retrap-results/explore.log')).toContain(words.map((word) => `[${word}]\n`).join(''))
})

test('prepare tells the exact version, and where the cache is', () => {
  const { code, read } = run({ ...GITHUB, RETRAP_TESTS: 'tests.json', XDG_CACHE_HOME: '/c' }, { args: ['prepare'] })
  expect([code, read('output.txt'), read('npm.log')]).toEqual([
    0,
    'version=0.9.1\ncache=/c/retrap\n',
    'view retrap@latest version --json\n',
  ])
})

test('what is kept has another name with another machine, and the same with other code that was compiled', () => {
  const cache = fs.mkdtempSync(join(root, 'cache-'))
  const file = (path: string): void => {
    fs.mkdirSync(join(cache, 'retrap', path, '..'), { recursive: true })
    fs.writeFileSync(join(cache, 'retrap', path), '')
  }
  const script = scriptBeside('exit 3')
  const kept = (): string | undefined => {
    const { code, read } = run({ ...GITHUB, RETRAP_EXEC: 'x', XDG_CACHE_HOME: cache }, { script })
    expect(code).toBe(3)
    return /^kept=(\d+-\d+)$/m.exec(read('output.txt'))?.[1]
  }
  const empty = kept()
  file('exec/a.snapshot')
  const first = kept()
  file('units/x.units')
  file('compiled/v/x')
  const again = kept()
  file('debian-12/members/linux-1/boot')
  expect([first, new Set([empty, first, kept()]).size]).toEqual([again, 3])
})

test.each([
  [{}, "nothing to run; give tests, such as tests.json, exec, such as 'make check', or explore, such as compose.yaml"],
  [{ RETRAP_TESTS: 'x', RETRAP_EXEC: 'x' }, 'there are tests and exec; give one of them'],
  [{ RETRAP_EXEC: 'x', RETRAP_EXPLORE: 'x' }, 'there are exec and explore; give one of them'],
  [{ RETRAP_TESTS: 'x', RETRAP_OPTIONS: '-t' }, 'options are for exec and explore; tests have theirs in their files'],
  [{ RETRAP_TESTS: 'a/x\nb/x' }, "two files of tests are named 'x'; give them names of their own"],
  [{ RETRAP_TESTS: 'x', RETRAP_VERSION: 'git+https://x' }, "version 'git+https://x': expected a version"],
  [{ RETRAP_TESTS: 'x', RETRAP_VERSION: '-g' }, "version '-g': expected a version"],
  [{ RETRAP_TESTS: 'x', RETRAP_VERSION: '1\nx=y' }, 'expected a version'],
  [{ RETRAP_TESTS: 'x', RETRAP_RESULTS: '../x' }, "results '../x': expected a folder below the current one"],
  [{ RETRAP_TESTS: 'x', RETRAP_RESULTS: '/etc' }, "results '/etc': expected a folder below the current one"],
  [{ RETRAP_TESTS: 'x', RETRAP_ARTIFACT: 'a b' }, "artifact 'a b': expected letters, digits"],
])('%j is refused by a sentence', (given, message) => {
  const { code, stderr } = run(given)
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining(`retrap: ${message}`.replace('retrap: expected', 'expected')),
  ])
})

interface Step {
  readonly id?: string
  readonly uses?: string
  readonly run?: string
  readonly shell?: string
  readonly if?: string
  readonly env?: Readonly<Record<string, string>>
  readonly with?: Readonly<Record<string, string>>
}
interface Action {
  readonly name: string
  readonly description: string
  readonly inputs: Readonly<Record<string, { readonly description: string; readonly default: string }>>
  readonly outputs: Readonly<Record<string, { readonly description: string; readonly value: string }>>
  readonly runs: { readonly using: string; readonly steps: readonly Step[] }
}

/** Variables that the script is told its work by. */
const told = [...new Set(fs.readFileSync(SCRIPT, 'utf8').match(/RETRAP_[A-Z]+/g))].sort()

describe('the GitHub Action', () => {
  const action = parse(fs.readFileSync(join(CI, 'action.yml'), 'utf8')) as Action
  const { inputs, outputs, runs } = action
  const texts = JSON.stringify(runs)
  const references = (name: string): string[] =>
    [...JSON.stringify(action).matchAll(new RegExp(`\\b${name}\\.([\\w-]+)`, 'g'))].map(([, found = '']) => found)

  test('has fields that such a file may have', () => {
    // Source: GitHub, "Metadata syntax reference": required fields, and those of the steps of composite actions.
    expect(Object.keys(action)).toEqual(['name', 'description', 'branding', 'inputs', 'outputs', 'runs'])
    expect(runs.using).toBe('composite')
    for (const input of Object.values(inputs))
      expect(input).toEqual({ description: expect.any(String) as string, default: expect.any(String) as string })
    for (const step of runs.steps) {
      expect(['id', 'uses', 'run', 'shell', 'if', 'env', 'with']).toEqual(expect.arrayContaining(Object.keys(step)))
      if (step.uses === undefined) expect([step.run, step.shell]).toEqual([expect.any(String), 'bash'])
      // A tag can be moved.
      else
        expect([step.run, step.uses]).toEqual([
          undefined,
          expect.stringMatching(/^actions\/[\w-]+(?:\/(?:restore|save))?@[\da-f]{40}$/),
        ])
    }
  })

  test('takes each input, and no text of a workflow into a script', () => {
    expect([...new Set(references('inputs'))].sort()).toEqual(Object.keys(inputs).sort())
    for (const { run: script } of runs.steps) expect(script ?? '').not.toContain('${{')
    for (const { env } of runs.steps) if (env !== undefined) expect(Object.keys(env).sort()).toEqual(told)
    const ids = runs.steps.map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining(references('steps')))
    for (const { value } of Object.values(outputs)) expect(value).toMatch(/^\$\{\{ steps\.run\.outputs\.\w+ \}\}$/)
    // As the script's GITHUB_OUTPUT has them.
    const named = [...texts.matchAll(/steps\.\w+\.outputs\.([\w-]+)/g)].map(([, name = '']) => name)
    expect(['version', 'cache', 'results', 'code', 'kept', 'cache-matched-key']).toEqual(expect.arrayContaining(named))
  })

  test('is used in the README and in the documentation alike, by inputs that there are', () => {
    const blocks = (path: string): string[] =>
      [...fs.readFileSync(join(CI, path), 'utf8').matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text)
    const [ofReadme, ofPage] = [blocks('../README.md'), blocks('../../docs/pages/guides/ci.md')]
    expect(ofReadme).toHaveLength(2)
    expect(ofPage).toEqual(expect.arrayContaining(ofReadme))
    const given = ofPage.flatMap((text) => [...text.matchAll(/^ {10}(\w+): /gm)].map(([, name = '']) => name))
    expect(given.length).toBeGreaterThan(2)
    expect(Object.keys(inputs)).toEqual(expect.arrayContaining(given))
  })
})

describe("GitLab's template", () => {
  interface Job {
    readonly variables: Readonly<Record<string, string>>
    readonly script: readonly string[]
    readonly artifacts: unknown
  }

  test('is one job to extend, that keeps results and cache below the project', () => {
    const file = parse(fs.readFileSync(join(CI, 'gitlab.yml'), 'utf8')) as Readonly<Record<string, Job>>
    expect(Object.keys(file)).toEqual(['.retrap'])
    const { variables, script, ...rest } = file['.retrap']!
    expect(rest).toEqual({
      image: 'node:24',
      cache: { key: 'retrap-$RETRAP_VERSION', when: 'always', paths: ['.cache/retrap'] },
      artifacts: { when: 'always', paths: ['$RETRAP_RESULTS'], reports: { junit: '$RETRAP_RESULTS/junit/*.xml' } },
    })
    const names = Object.keys(variables)
    expect([...told, 'XDG_CACHE_HOME']).toEqual(expect.arrayContaining(names))
    expect(script.at(-1)).toBe('sh .retrap/node_modules/retrap/ci/run.sh')
  })
})

const hasShellcheck = hasProgram('shellcheck')
test.runIf(hasShellcheck)(`shellcheck has nothing to say${skipNote(hasShellcheck, 'there is no shellcheck')}`, () => {
  expect(execFileSync('shellcheck', ['--severity=style', SCRIPT], { encoding: 'utf8' })).toBe('')
})
