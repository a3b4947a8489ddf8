// The bill of materials of a release, as CycloneDX 1.5: all packages that `npm install retrap` brings, by npm's own `npm sbom`, and
// what is only in bundles of it. Files of licences name the latter: a build writes them from the modules that its bundle has.
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { problemOf, run } from './processes.ts'

interface Component {
  readonly 'bom-ref': string
  readonly name: string
  readonly version: string
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[]
  readonly licenses?: readonly { readonly license?: { readonly id?: string } }[]
}

interface Bom {
  readonly components: Component[]
  readonly dependencies: { readonly ref: string; readonly dependsOn: string[] }[]
}

/** Files of licences in installed packages of ours. */
const TEXTS = 'node_modules/{retrap,@retrap/*}/**/{third-party-licences,THIRD-PARTY-NOTICES}{,.txt}'
/** The first line of each text: a package's name and version. */
const TITLE = /^(?<name>(?:@[\w.-]+\/)?[\w.-]+) (?<version>\d+\.\d+\.\d[\w.+-]*)$/gm
/** The licences that may be part of a release. */
const LICENCES: ReadonlySet<string> = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD'])

/**
 * Installs `retrap` in an empty folder, and writes what that brought.
 *
 * @param name - the package, with its version: `retrap@0.3.0`
 * @param env - of npm: which registry
 * @returns the bill as JSON, and one line per component that a release must not have as it is
 */
export async function billOfMaterials(
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly json: string; readonly problems: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-sbom-'))
  try {
    // npm names the bill after the folder's package.
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ name: 'retrap-release', version: '0.0.0', private: true }),
    )
    const installed = await run('npm', ['install', '--no-audit', '--ignore-scripts', '--silent', name], folder, env)
    const made = await run('npm', ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application'], folder, env)
    const failed = [...problemOf(`npm install ${name}`, installed), ...problemOf('npm sbom', made)]
    if (failed.length > 0) return { json: '', problems: failed }
    const bom = JSON.parse(made.stdout) as Bom
    const problems = bom.components.flatMap(lacks)
    addBundled(bom, folder)
    return { json: `${JSON.stringify(bom, null, 2)}\n`, problems }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a component that was installed lacks. */
function lacks({ 'bom-ref': ref, hashes = [], licenses = [] }: Component): string[] {
  const names = licenses.map(({ license }) => license?.id ?? 'a licence without an SPDX name')
  return [
    ...(hashes.some(({ alg }) => alg === 'SHA-512') ? [] : [`${ref} has no SHA-512 in the bill of materials`]),
    ...(names.length > 0 && names.every((one) => LICENCES.has(one))
      ? []
      : [`${ref} has the licences "${names.join(', ')}": expected some of ${[...LICENCES].join(', ')}`]),
  ]
}

/** Adds the packages in bundles of what was installed. They have no files of their own, and so no hashes. */
function addBundled(bom: Bom, folder: string): void {
  for (const file of globSync(TEXTS, { cwd: folder })) {
    const place = file.replaceAll('\\', '/').replace('node_modules/', '')
    const [owner] = /^(?:@[^/]+\/)?[^/]+/.exec(place) as RegExpExecArray
    const uses = bom.dependencies.find(({ ref }) => ref.startsWith(`${owner}@`))?.dependsOn
    for (const { groups } of readFileSync(join(folder, file), 'utf8').matchAll(TITLE)) {
      const { name, version } = groups as { name: string; version: string }
      const ref = `${name}@${version}`
      if (!uses?.includes(ref)) uses?.push(ref)
      if (bom.components.some((one) => one['bom-ref'] === ref)) continue
      const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
      const properties = [{ name: 'retrap:bundled', value: place }]
      bom.components.push({
        'bom-ref': ref,
        type: 'library',
        name,
        version,
        scope: 'required',
        purl,
        properties,
      } as Component)
      bom.dependencies.push({ ref, dependsOn: [] })
    }
  }
}
