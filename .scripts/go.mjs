// The one entry of every root script. Plain JavaScript without dependencies, for any Node from 20 on: it runs before
// anything is installed. It brings the checkout up to date (pinned pnpm, packages, Node 26, build) and then hands over
// to the program. What is up to date already costs a few milliseconds of stat calls.
//
// `npm start` is a newcomer's first command. It installs the dependencies of the workspace itself, and of the command and
// the packages that it stands on: rolldown, which makes their modules, and Node 26. The first script that needs more installs
// the development dependencies too, and from then on everything is kept up to date.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runToEnd, stopCode } from './group.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.retrap')
// `npm run -s` promises nothing but the program's own output on stdout.
const silent = process.env.npm_config_loglevel === 'silent'
const REMINDER_MS = 5_000

/**
 * What pnpm installs for the command alone. The lock file has the hash of each package; that none is too young is asked of
 * the registry, once for every package of the lock file, when all are installed.
 */
const APP_ONLY = ['--filter', '.', '--filter-prod', 'retrap...', '--prod', '--trust-lockfile']
/** Whether the command can run under the Node that runs this: then the package `node` need not fetch another at once. */
const isNodeNew = Number.parseInt(process.versions.node, 10) >= 24
if (isNodeNew) APP_ONLY.push('--ignore-scripts')

const [command, ...args] = process.argv.slice(2)
// Only the site needs vite, and all that a page has.
const withSite = args[0] === 'web' || command === 'build'
// The SDK of a protocol becomes a part of the command's bundle where it is installed. The client of NATS stays a package of its
// own.
const SDKS = new Map([
  ['mcp', '@modelcontextprotocol/'],
  ['dap', '@vscode/debugadapter'],
])
const sdk = SDKS.get(args[0])
const isWhole = withSite || sdk !== undefined || args.some((text) => /^(--queue=|nats:|rediss?:|postgres)/.test(text))
process.exitCode = await main()

async function main() {
  try {
    const isApp = command === 'start' || command === 'retrap'
    await install(isApp && !isWhole)
    switch (command) {
      case 'start':
      case 'retrap':
        await build()
        return await run(['--max-semi-space-size=1', join(root, 'apps/retrap/dist/main.js'), ...args], {
          // Of `cluster explore --queue`.
          env: { RETRAP_FLEET: join(root, 'apps/fleet/src/main.ts') },
        })
      case 'build':
        await build()
        // From the folder that npm was started in, as all paths.
        return await run([join(root, 'apps/retrap/dist/main.js'), 'web', ...withOut(args)])
      case 'bench':
        await build()
        return await run([join(root, '.scripts/bench.ts'), ...args], { group: true })
      case 'fleet':
        await build()
        return await run([join(root, 'apps/fleet/src/main.ts'), ...args])
      case 'docs':
        // From sources: the site needs no build of the packages.
        return await run(['--conditions=retrap-source', join(root, 'apps/docs/build/docs.ts'), ...args], {
          group: true,
        })
      case 'mutate':
      case 'soak':
      case 'test':
        return await run(['--conditions=retrap-source', join(root, '.scripts', `${command}.ts`), ...args], {
          group: true,
        })
      case 'release':
        return await withTemporaryFolder((folder) =>
          // changesets and turbo start pnpm by its name.
          run([join(root, '.scripts/release.ts'), ...args], {
            before: withPnpm(),
            env: { TMPDIR: folder, TEMP: folder, TMP: folder, NODE_USE_ENV_PROXY: '1' },
            // A person answers npm's questions there, and ends it with Ctrl-C.
            group: args[0] !== 'claim',
          }),
        )
      case 'prepack':
        await prepack()
        return 0
      default:
        console.error(`retrap: no root script named ${command}`)
        return 2
    }
  } catch (error) {
    console.error(`retrap: ${error.message}`)
    return stopCode() ?? 1
  }
}

/** The arguments of `retrap web` that write the site to a folder: `site` of the checkout unless one is given. */
function withOut(given) {
  return given.some((one) => /^--out(=|$)/.test(one)) ? given : ['--out', join(root, 'site'), ...given]
}

/** The folders of all workspace packages. */
function members() {
  return ['packages', 'apps'].flatMap((group) =>
    readdirSync(join(root, group), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(root, group, entry.name, 'package.json')))
      .map((entry) => join(root, group, entry.name)),
  )
}

/**
 * Installs when a manifest or the lock file differs from what was last installed.
 *
 * @param appOnly - whether the command's own dependencies will do; what has more keeps it
 */
async function install(appOnly) {
  const wanted = () => {
    const [extent] = readStamp('install').split('\n')
    const isFresh = extent === '' && !existsSync(join(root, 'node_modules/.modules.yaml'))
    return appOnly && (isFresh || extent === 'app') ? 'app' : 'all'
  }
  const done = () => stampIs('install', `${wanted()}\n${manifestState()}`) && existsSync(pinnedNode())
  if (done()) return
  await alone(async () => {
    if (done()) return
    const extent = wanted()
    // An interrupted installation is not whole, and what it was to become is known.
    writeStamp('install', extent)
    await saying('installing packages', () =>
      pnpm(['install', ...(extent === 'app' ? APP_ONLY : [])], 'installing the packages failed'),
    )
    // Read again: pnpm writes the lock file when a manifest changed.
    writeStamp('install', `${extent}\n${manifestState()}`)
  })
}

/** Builds what is to run, with the site if it is asked for, when a source changed since the last build. */
async function build() {
  const dist = join(root, 'apps/retrap/dist')
  const outputs = [join(dist, 'main.js'), ...(withSite ? [join(dist, 'site/index.html')] : [])]
  // What was built before the SDK was installed has no part of it.
  const hasSdk = () => readFileSync(join(dist, 'third-party-licences.txt'), 'utf8').includes(sdk)
  const done = () =>
    stampIs('build', `${sourceState()} ${outputState()}`) &&
    outputs.every((file) => existsSync(file)) &&
    (sdk === undefined || hasSdk())
  if (done()) return
  await alone(async () => {
    if (done()) return
    // Read before building: a source saved meanwhile must lead to another build.
    const sources = sourceState()
    const turbo = ['exec', 'turbo', 'run', 'build', '--filter=retrap', '--output-logs=errors-only', '--ui=stream']
    await saying('building', () =>
      withSite
        ? pnpm(turbo, 'the build failed')
        : tool([pinnedNode(), join(root, '.scripts/build.ts')], 'the build failed'),
    )
    writeStamp('build', `${sources} ${outputState()}`)
  })
}

/**
 * Builds the package in the current folder before it is packed or published; `npm run release` has checked all tarballs.
 * `pnpm publish` of several packages runs several of these at once: one after another, because their builds share dependencies.
 */
async function prepack() {
  const { name } = JSON.parse(readFileSync('package.json', 'utf8'))
  // npm would publish `workspace:^` as it stands, which nobody can install.
  if (process.env.npm_config_user_agent?.startsWith('npm/'))
    throw new Error(`npm cannot pack ${name}; use: npx pnpm@${pnpmVersion()} pack`)
  const turbo = ['exec', 'turbo', 'run', 'build', `--filter=${name}`, '--output-logs=errors-only', '--ui=stream']
  await alone(() => pnpm(turbo, `${name} cannot be built`))
}

/** Runs `work` while no other process of this checkout installs or builds. */
async function alone(work) {
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
    await work()
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
    '.scripts/build.ts',
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

/** Adds the files of a folder, at any depth, without those that a build generates from the others. */
function addTree(hash, folder) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.name === 'generated') continue
    if (entry.isDirectory()) addTree(hash, path)
    else addFile(hash, path)
  }
}

function stampIs(name, value) {
  return readStamp(name) === value
}

function readStamp(name) {
  const file = join(stamps, name)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

function writeStamp(name, value) {
  mkdirSync(stamps, { recursive: true })
  writeFileSync(join(stamps, name), value)
}

/** Says on stderr what is done, and under -s, where pnpm's own output is left out, every few seconds that it goes on. */
async function saying(what, work) {
  const start = performance.now()
  if (!silent || process.stderr.isTTY) console.error(`retrap: ${what}`)
  const timer = setInterval(() => {
    if (silent) console.error(`retrap: ${what}, for ${Math.round((performance.now() - start) / 1000)} s`)
  }, REMINDER_MS)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
}

/** Runs the pinned pnpm, and throws `failure` if it does not end well. */
function pnpm(pnpmArgs, failure) {
  return tool([...withPnpm(), 'pnpm', ...pnpmArgs], failure)
}

/** Runs a program that installs or builds, and throws `failure` if it does not end well. */
async function tool([name, ...toolArgs], failure) {
  const { status, output } = await runToEnd(name, toolArgs, {
    cwd: root,
    env: environment(),
    // Installing and building are not the program's output: they go to stderr, and under -s only if they fail.
    stdio: silent ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2],
    shell: process.platform === 'win32',
    group: true,
  })
  if (status === 0 && stopCode() === undefined) return
  process.stderr.write(output)
  throw new Error(stopCode() === undefined ? failure : 'stopped by a signal')
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

/** The pinned Node from the npm package `node`; the running Node if it will do and the package has no binary here. */
function pinnedNode() {
  const packaged = join(root, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return !existsSync(packaged) && isNodeNew ? process.execPath : packaged
}

function environment() {
  const path = [dirname(pinnedNode()), join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  return { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
}

/**
 * Runs a program under the pinned Node with our terminal, and resolves to its exit code.
 *
 * @param programArgs - Node's options, the program, and its own arguments
 * @param options - what is in `before` of it and its environment, and whether it has a `group` of processes
 */
async function run(programArgs, { before = [], env = {}, group = false } = {}) {
  const [name, ...rest] = [...before, pinnedNode(), ...programArgs]
  const { status } = await runToEnd(name, rest, {
    cwd: process.env.INIT_CWD ?? root,
    env: { ...environment(), ...env },
    stdio: 'inherit',
    shell: before.length > 0 && process.platform === 'win32',
    group,
  })
  return status
}

/**
 * Has `work` use a temporary folder of its own, and removes it in the end. What an earlier process has left behind because it
 * was killed is removed too.
 */
async function withTemporaryFolder(work) {
  for (const name of readdirSync(tmpdir())) {
    const owner = /^retrap-release-(\d+)-/.exec(name)?.[1]
    if (owner !== undefined && !isAlive(Number(owner))) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
  const folder = mkdtempSync(join(tmpdir(), `retrap-release-${process.pid}-`))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
