// npm run release -- --dry-run | rehearse | version | claim | publish | sbom
//
// --dry-run says what `version` and `publish` would do, and does it in a copy only. `rehearse` does both in a copy, with a registry
// on the loopback, and then what users do with the packages. `version` turns the notes of .changeset into
// versions and CHANGELOGs. `publish` builds and checks every package, and publishes in the order of dependencies those
// whose version the registry lacks; it creates a git tag for each. npm creates no name for a workflow: `claim` publishes the
// first version of each package from a terminal. These three need a checkout without changes of its own:
// what they leave behind after a failure is undone.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, isAbsolute, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { execaSync } from 'execa'
import { checkChangelogs, notes } from './changesets.ts'
import { checkManifests } from './manifests.ts'
import { checkTarballs, packInto, tarballOf } from './package/tarballs.ts'
import { claim, missingNames, NPM, planClaim } from './release/claim.ts'
import { checkReadmes, switchToRegistry } from './release/readme.ts'
import { rehearse } from './release/rehearsal.ts'
import { billOfMaterials } from './release/sbom.ts'
import { git, stageCheckout } from './release/stage.ts'
import { type Member, inOrder, members, root } from './workspace.ts'

const USAGE = `usage: npm run release -- --dry-run     says what would be published, in which order, and changes nothing
       npm run release -- rehearse      releases a copy to a registry of its own, and uses every package from there
       npm run release -- version       new versions and CHANGELOGs from the notes in .changeset; commit them
       npm run release -- claim         publishes the packages whose names the registry lacks, in a terminal with your login,
                                        and makes the workflow their trusted publisher; goes on where it was stopped;
                                        --pause SECONDS between two writes (2); --dry-run lists names, sizes and files
       npm run release -- publish       publishes what the registry lacks; --registry URL for another than npm's
       npm run -s release -- sbom       prints what retrap brings to its users, as CycloneDX; --registry as above
       npm run -s release -- pack FOLDER [PACKAGE…]
                                        builds these packages, or all, and packs them and all of ours that they need into
                                        FOLDER; prints the line that installs them
       npm run release -- readmes       lists what READMEs lack that a reader on npm needs`

const BUILD = ['run', 'build', '--output-logs=errors-only', '--ui=stream']

/** A mistake of the caller, or a check that stops the release. */
class ReleaseError extends Error {}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      'dry-run': { type: 'boolean' },
      help: { type: 'boolean' },
      registry: { type: 'string' },
      pause: { type: 'string' },
    },
  })
  if (values.help === true) {
    console.log(USAGE)
    return 0
  }
  const action = positionals[0] ?? (values['dry-run'] === true ? '--dry-run' : undefined)
  switch (action) {
    case '--dry-run':
      dryRun()
      return 0
    case 'rehearse':
      return print(await rehearse(members(), 'whole'))
    case 'version':
      version()
      return 0
    case 'claim':
      return claimNames(values.registry ?? NPM, Number(values.pause ?? 2), values['dry-run'] === true)
    case 'publish':
      await publish(values.registry)
      return 0
    case 'sbom':
      return printBill(values.registry)
    case 'pack':
      return pack(positionals[1], positionals.slice(2))
    case 'readmes':
      return print(checkReadmes(members()))
    default:
      console.error(USAGE)
      return 2
  }
}

function print(problems: readonly string[]): number {
  for (const problem of problems) console.log(problem)
  return problems.length > 0 ? 1 : 0
}

function published(): Member[] {
  return inOrder(members().filter(({ manifest }) => manifest.private !== true))
}

function version(): void {
  stopAt(changes())
  if (notes().length === 0) throw new ReleaseError('.changeset has no note: there is nothing to release')
  const before = new Map(published().map(({ manifest }) => [manifest.name, manifest.version]))
  try {
    tool('changeset', ['version'])
    nameVersion()
    switchToRegistry()
    stopAt(checkChangelogs(members()))
  } catch (error) {
    git(root, 'checkout', '--quiet', '--', '.')
    git(root, 'clean', '--quiet', '--force', '-d')
    throw error
  }
  for (const { manifest } of published()) {
    const old = before.get(manifest.name)
    if (old !== manifest.version) console.log(`${manifest.name} ${old} → ${manifest.version}`)
  }
}

/** Packs packages for projects outside the checkout. npm finds those that they need among the others that it installs. */
function pack(folder: string | undefined, names: readonly string[]): number {
  if (folder === undefined) throw new ReleaseError('pack: expected a folder for the tarballs, such as vendor')
  const all = published()
  const needed = new Set(names.length > 0 ? names : all.map(({ manifest }) => manifest.name))
  // A package comes after all that it depends on.
  for (const { manifest } of all.toReversed())
    if (needed.has(manifest.name)) for (const name of Object.keys(manifest.dependencies ?? {})) needed.add(name)
  const chosen = all.filter(({ manifest }) => needed.has(manifest.name))
  const unknown = names.filter((name) => !all.some(({ manifest }) => manifest.name === name))
  if (unknown.length > 0)
    throw new ReleaseError(`pack: there is no package ${unknown.join(', ')}; they have names such as @retrap/machine`)
  tool('turbo', [...BUILD, ...chosen.map(({ manifest }) => `--filter=${manifest.name}`)])
  const failure = packInto(resolve(folder), chosen)
  if (failure !== undefined) throw new ReleaseError(failure)
  // npm takes `vendor/a.tgz` for a repository on GitHub.
  const shown = isAbsolute(folder) ? folder : `./${folder}`
  console.log(`npm install ${chosen.map(({ manifest }) => `${shown}/${basename(tarballOf(manifest))}`).join(' ')}`)
  return 0
}

/** The bill of materials of the version that this checkout has, as a registry has it. */
async function printBill(registry: string | undefined): Promise<number> {
  const { manifest } = published().find((one) => one.manifest.name === 'retrap') as Member
  const env = registry === undefined ? {} : { npm_config_registry: registry }
  const { json, problems } = await billOfMaterials(`retrap@${manifest.version}`, env)
  process.stdout.write(json)
  for (const problem of problems) console.error(problem)
  return problems.length > 0 ? 1 : 0
}

/** Pages without a bundler name the version that all have: so do the README that tells how, and its example. */
function nameVersion(): void {
  const web = published().find(({ manifest }) => manifest.name === '@retrap/web') as Member
  for (const file of ['README.md', 'examples/page.html']) {
    const path = join(web.folder, file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replaceAll(/(@retrap\/web|\bretrap)@\d+\.\d+\.\d+/g, `$1@${web.manifest.version}`))
  }
}

async function publish(registry: string | undefined): Promise<void> {
  stopAt(unready())
  const missing = await missingNames(registry ?? NPM, published())
  if (missing.length > 0)
    throw new ReleaseError(
      `a workflow cannot create names on npm, and these do not exist: ${missing.join(', ')}. ` +
        'A person creates them in a terminal: npm run release -- claim',
    )
  await packAll()
  const env = registry === undefined ? {} : { npm_config_registry: registry, pnpm_config_registry: registry }
  tool('changeset', ['publish'], root, env)
}

/** Claims the names that the registry lacks, or says what that would publish. */
async function claimNames(registry: string, pauseSeconds: number, isDry: boolean): Promise<number> {
  if (!(pauseSeconds >= 0)) throw new ReleaseError('claim: expected --pause with a number of seconds, such as 2')
  if (isDry) {
    await packAll()
    await planClaim(registry, published())
    for (const problem of unready()) console.log(`Before the claim: ${problem}`)
    return 0
  }
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new ReleaseError('claim: npm asks for your second factor, so run this in a terminal')
  stopAt(unready())
  // A claim that goes on publishes the same tarballs.
  const stamp = join(root, 'node_modules/.retrap/tarballs/commit')
  const head = git(root, 'rev-parse', 'HEAD')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== head) {
    console.log('Building, packing and checking the packages.')
    await packAll()
    writeFileSync(stamp, head)
  }
  return (await claim(published(), { registry, pauseMs: pauseSeconds * 1000 })) ? 0 : 1
}

/** What has to be done before versions can be published. */
function unready(): string[] {
  const isNoted = notes().length > 0
  return [
    ...changes(),
    ...(isNoted ? ['.changeset has notes that no version has: npm run release -- version, and commit'] : []),
    ...checkManifests(members()),
    ...(isNoted ? [] : checkChangelogs(members())),
  ]
}

/** Builds, packs and checks all packages. */
async function packAll(): Promise<void> {
  tool('turbo', BUILD)
  stopAt(await checkTarballs(members()))
}

/** Versions, packs and measures in a copy. */
function dryRun(): void {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-release-'))
  const copy = join(folder, 'retrap')
  try {
    const before = published()
    stageCheckout(copy)
    run(process.execPath, [join(copy, '.scripts/go.mjs'), 'release', 'version'], copy)
    tool('turbo', BUILD, copy)
    run(process.execPath, [join(copy, '.scripts/package/tarballs.ts')], copy)
    let total = 0
    for (const { path, manifest } of before) {
      const { version: next } = JSON.parse(readFileSync(join(copy, path, 'package.json'), 'utf8')) as {
        version: string
      }
      if (next === manifest.version) continue
      const { size } = statSync(tarballOf({ name: manifest.name, version: next }, copy))
      total += size
      const change = `${manifest.version} → ${next}`
      const tag = `${manifest.name}@${next}`
      console.log(`${manifest.name.padEnd(24)} ${change.padEnd(16)} tag ${tag.padEnd(30)} ${kilobytes(size)}`)
    }
    console.log(`${' '.repeat(77)}${kilobytes(total)}`)
    console.log('In this order. Nothing was published, and this checkout has not been changed.')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1).padStart(7)} KB`
}

/** What the checkout has besides its commit. */
function changes(): string[] {
  const changed = git(root, 'status', '--porcelain').trimEnd()
  return changed === '' ? [] : [`commit or remove first:\n${changed}`]
}

function stopAt(problems: readonly string[]): void {
  if (problems.length > 0) throw new ReleaseError(problems.join('\n'))
}

/** Runs a tool of the workspace. It finds pnpm on PATH, where go.mjs has put it. */
function tool(name: string, args: readonly string[], cwd: string = root, env?: Readonly<Record<string, string>>): void {
  run(join(cwd, 'node_modules/.bin', name), args, cwd, env)
}

function run(name: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): void {
  execaSync(name, args, { cwd, env, stdin: 'ignore' })
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
