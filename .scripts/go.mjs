// The one entry of every root script. Plain JavaScript without dependencies, for any Node from 20 on: it runs before
// anything is installed. It brings the checkout up to date (pinned pnpm, packages, Node 24, build) and then hands over
// to the program. What is up to date already costs a few milliseconds of stat calls.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.retrap')
// `npm run -s` promises nothing but the program's own output.
const silent = process.env.npm_config_loglevel === 'silent'

const [command, ...args] = process.argv.slice(2)
process.exitCode = await main()

async function main() {
  try {
    install()
    switch (command) {
      case 'start':
      case 'retrap':
        build()
        return await run('--max-semi-space-size=1', [join(root, 'apps/retrap/dist/main.js'), ...args])
      case 'bench':
        build()
        return await run(join(root, '.scripts/bench.ts'), args)
      case 'mutate':
      case 'soak':
      case 'test':
        return await run('--conditions=retrap-source', [join(root, '.scripts', `${command}.ts`), ...args])
      case 'release':
        // changesets and turbo start pnpm by its name.
        return await run(join(root, '.scripts/release.ts'), args, withPnpm())
      case 'prepack':
        prepack()
        return 0
      default:
        console.error(`retrap: no root script named ${command}`)
        return 2
    }
  } catch (error) {
    console.error(`retrap: ${error.message}`)
    return 1
  }
}

/** The folders of all workspace packages. */
function members() {
  return ['packages', 'apps'].flatMap((group) =>
    readdirSync(join(root, group), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(root, group, entry.name, 'package.json')))
      .map((entry) => join(root, group, entry.name)),
  )
}

/** Installs when a manifest or the lock file differs from what was last installed. */
function install() {
  const done = () => stampIs('install', manifestState()) && existsSync(node24())
  if (done()) return
  alone(() => {
    if (done()) return
    say('installing packages')
    pnpm(['install'], 'installing the packages failed')
    // Read again: pnpm writes the lock file when a manifest changed.
    writeStamp('install', manifestState())
  })
}

/** Builds the app and what it stands on when a source changed since the last build. Turbo skips what is unchanged. */
function build() {
  const done = () =>
    stampIs('build', `${sourceState()} ${outputState()}`) && existsSync(join(root, 'apps/retrap/dist/main.js'))
  if (done()) return
  alone(() => {
    if (done()) return
    say('building')
    // Read before building: a source saved meanwhile must lead to another build.
    const sources = sourceState()
    const turbo = ['exec', 'turbo', 'run', 'build', '--filter=retrap', '--output-logs=errors-only', '--ui=stream']
    pnpm(turbo, 'the build failed')
    writeStamp('build', `${sources} ${outputState()}`)
  })
}

/**
 * Builds and checks the package in the current folder before it is packed or published. `pnpm publish` of several
 * packages runs several of these at once: one after another, because their builds share dependencies.
 */
function prepack() {
  const { name } = JSON.parse(readFileSync('package.json', 'utf8'))
  // npm would publish `workspace:^` as it stands, which nobody can install.
  if (process.env.npm_config_user_agent?.startsWith('npm/'))
    throw new Error(`npm cannot pack ${name}; use: npx pnpm@${pnpmVersion()} pack`)
  const turbo = [
    'exec',
    'turbo',
    'run',
    'package:check',
    `--filter=${name}`,
    '--output-logs=errors-only',
    '--ui=stream',
  ]
  alone(() => pnpm(turbo, `${name} is not fit to be packed`))
}

/** Runs `work` while no other process of this checkout installs or builds. */
function alone(work) {
  const lock = join(root, '.turbo', 'go.lock')
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      if (!isAlive(holder(lock))) rmSync(lock, { force: true })
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
    }
  }
  try {
    work()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** The process that holds the lock; 0, which counts as alive, if it is just taking or leaving it. */
function holder(lock) {
  try {
    return Number(readFileSync(lock, 'utf8'))
  } catch {
    return 0
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function manifestState() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json']) {
    hash.update(readFileSync(join(root, file)))
  }
  for (const folder of members()) {
    // A release changes versions alone, and these are in no lock file.
    const { version: _, ...manifest } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    hash.update(folder.slice(root.length)).update(JSON.stringify(manifest))
  }
  return `${hash.digest('hex')} ${process.platform} ${process.arch}`
}

function sourceState() {
  const hash = createHash('sha256')
  for (const file of [
    'tsconfig.base.json',
    'turbo.json',
    '.config/rolldown.config.ts',
    'packages/tooling/src/rolldown.ts',
  ])
    addFile(hash, join(root, file))
  addTree(hash, join(root, '.config/types'))
  for (const folder of members()) {
    for (const file of ['package.json', 'tsconfig.json']) addFile(hash, join(folder, file))
    for (const tree of ['src', 'build']) addTree(hash, join(folder, tree))
  }
  return hash.digest('hex')
}

/** A cleaned or replaced output is built again even if no source changed. */
function outputState() {
  const hash = createHash('sha256')
  for (const folder of members()) {
    for (const file of ['.tsbuildinfo', 'index.js', 'main.js']) addFile(hash, join(folder, 'dist', file))
  }
  return hash.digest('hex')
}

function addFile(hash, file) {
  const stat = statSync(file, { throwIfNoEntry: false })
  hash.update(`${file.slice(root.length)} ${stat?.size} ${stat?.mtimeMs}\n`)
}

function addTree(hash, folder) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) addTree(hash, path)
    else addFile(hash, path)
  }
}

function stampIs(name, value) {
  const file = join(stamps, name)
  return existsSync(file) && readFileSync(file, 'utf8') === value
}

function writeStamp(name, value) {
  mkdirSync(stamps, { recursive: true })
  writeFileSync(join(stamps, name), value)
}

function say(what) {
  // On a terminal a first `npm run -s` would otherwise look hung for half a minute.
  if (!silent || process.stderr.isTTY) console.error(`retrap: ${what}`)
}

/** Runs the pinned pnpm, and throws `failure` if it does not end well. */
function pnpm(pnpmArgs, failure) {
  const [name, ...args] = [...withPnpm(), 'pnpm', ...pnpmArgs]
  const result = spawnSync(name, args, {
    cwd: root,
    env: environment(),
    encoding: 'utf8',
    // Installing and building are not the program's output: they go to stderr, and under -s only if they fail.
    stdio: silent ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (result.status === 0) return
  if (silent) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  throw new Error(result.error ? `${failure}: ${result.error.message}` : failure)
}

/**
 * What a command begins with so that it finds the pinned pnpm on PATH. npm fetches it once; corepack is not used, because
 * it refuses pnpm's signature. A script that the pinned pnpm has started finds that one: npm might have been given a
 * registry that has no pnpm.
 */
function withPnpm() {
  const isThere = process.env.npm_config_user_agent?.startsWith(`pnpm/${pnpmVersion()} `) && onPath('pnpm')
  return isThere ? [] : ['npx', '--yes', `--package=pnpm@${pnpmVersion()}`, '--']
}

function onPath(name) {
  const names = process.platform === 'win32' ? [`${name}.cmd`, `${name}.exe`] : [name]
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.some((folder) => names.some((file) => existsSync(join(folder, file))))
}

/** The pinned version, which is written once: devEngines names the least that will do. */
function pnpmVersion() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devEngines.packageManager
  return version.replace('^', '')
}

/** Node 24 from the npm package `node`; the running Node if it is a 24 already and the package has no binary here. */
function node24() {
  const packaged = join(root, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return !existsSync(packaged) && process.version.startsWith('v24.') ? process.execPath : packaged
}

function environment() {
  const path = [dirname(node24()), join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  return { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
}

/** Runs a program under Node 24 with our terminal, `before` in front of it, and resolves to its exit code. */
function run(file, programArgs, before = []) {
  return new Promise((resolve, reject) => {
    const [name, ...rest] = [...before, node24(), file, ...programArgs]
    const child = spawn(name, rest, {
      cwd: process.env.INIT_CWD ?? root,
      env: environment(),
      stdio: 'inherit',
      shell: before.length > 0 && process.platform === 'win32',
    })
    // A terminal's Ctrl-C reaches the program by itself; it decides what that means. A kill is passed on.
    process.on('SIGINT', () => {})
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)))
  })
}
