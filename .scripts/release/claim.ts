// The first publication of every package, by a person in a terminal: npm creates no name for a token or for a workflow. Then
// the workflow that publishes from then on becomes each package's trusted publisher.
//
// npm's client does all that is written to the registry, with the person's login, and asks for the second factor itself. What
// has been done is asked of the registry, so that a claim that was interrupted goes on where it stopped.
//
// Source: npm's documentation, "npm-publish", "npm-trust" and "Trusted publishing for npm packages".
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { tarballOf } from '../package/tarballs.ts'
import { type Member, root } from '../workspace.ts'
import { git } from './stage.ts'

export const NPM = 'https://registry.npmjs.org/'
const SCOPE = 'retrap'
const CREATE_ORGANISATION = 'https://www.npmjs.com/org/create'
/** The workflow that npm is to trust. */
export const PUBLISHER = { repository: 'retrap/retrap', file: 'release.yml', environment: 'npm' }
/** Earlier clients cannot give a trusted publisher the right to publish. */
const LEAST_NPM = [11, 15]
/** The first wait after the registry has answered 429, in pauses; each wait doubles up to the longest. */
const FIRST_WAIT = 15
const LONGEST_WAIT = 300

/** How a claim is made. */
export interface ClaimOptions {
  /** Address of the registry, with a slash at the end. */
  readonly registry: string
  /** Time between two writes, in milliseconds. npm recommends 2 seconds. */
  readonly pauseMs: number
}

/** Why a claim stopped, in words for the person. */
class Stop extends Error {}

/**
 * Returns the versions of a package, or `undefined` if the registry has no such name.
 *
 * @throws Error if the registry cannot be reached or answers with another error than 404
 */
async function versionsOf(registry: string, name: string): Promise<string[] | undefined> {
  const response = await fetch(registry + name.replace('/', '%2f'), { headers: { 'cache-control': 'no-cache' } }).catch(
    (error: unknown) => {
      throw new Error(`${registry} cannot be reached`, { cause: error })
    },
  )
  if (response.status === 404) return undefined
  if (!response.ok) throw new Error(`${registry} answers ${response.status} when asked for ${name}`)
  return Object.keys(((await response.json()) as { versions: object }).versions)
}

/** Returns the versions that the registry has of each package, in the order of `all`. */
async function versionsOfAll(registry: string, all: readonly Member[]): Promise<(string[] | undefined)[]> {
  return Promise.all(all.map(({ manifest }) => versionsOf(registry, manifest.name)))
}

/** Returns the names that the registry does not have. A workflow cannot create them. */
export async function missingNames(registry: string, all: readonly Member[]): Promise<string[]> {
  const found = await versionsOfAll(registry, all)
  return all.filter((_, i) => found[i] === undefined).map(({ manifest }) => manifest.name)
}

/** Prints what a claim would publish, in its order: each package's sizes and files. Writes nothing, here or to the registry. */
export async function planClaim(registry: string, all: readonly Member[]): Promise<void> {
  const found = await versionsOfAll(registry, all)
  const args = ['pack', '--dry-run', '--json', ...all.map(({ manifest }) => tarballOf(manifest))]
  const { stdout } = await execa('npm', args, { cwd: root, stdin: 'ignore' })
  // npm 12 prints an object with the packages' names as keys; earlier ones print an array.
  const packed = Object.values(JSON.parse(stdout) as Record<string, Packed>)
  let total = 0
  for (const [i, { manifest }] of all.entries()) {
    const { size, unpackedSize, files } = packed.find(({ name }) => name === manifest.name) as Packed
    const counts = Map.groupBy(files, ({ path }) => /^[^/]+\//.exec(path)?.[0] ?? path)
    const parts = [...counts].map(([part, { length }]) => (part.endsWith('/') ? `${part} (${length})` : part))
    total += size
    console.log(`${i + 1}. ${manifest.name}@${manifest.version}: ${stateOf(manifest.version, found[i])}`)
    console.log(`   ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} unpacked; ${parts.join(', ')}`)
  }
  console.log(`${all.length} packages, ${kilobytes(total)} packed, for ${registry}`)
  console.log(`Trusted publisher of each: ${Object.values(PUBLISHER).join(', ')}`)
  console.log(`Nothing was published. The tarballs are in ${dirname(tarballOf(all[0]!.manifest))}`)
}

interface Packed {
  readonly name: string
  readonly size: number
  readonly unpackedSize: number
  readonly files: readonly { readonly path: string }[]
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} KB`
}

function stateOf(version: string, found: readonly string[] | undefined): string {
  if (found === undefined) return 'to be claimed'
  return found.includes(version) ? 'is published' : `the name is claimed; ${version} is for the workflow`
}

/**
 * Publishes every package whose name the registry lacks, and configures the trusted publisher of all.
 *
 * @param all - the packages in the order of dependencies; their tarballs are packed and checked
 * @returns whether all has been done; if not, it has been printed what is left
 */
export async function claim(all: readonly Member[], options: ClaimOptions): Promise<boolean> {
  // A terminal sends Ctrl-C to npm's client as well; this process then says where it stopped.
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.on('SIGINT', stop)
  const work = new Claim(all, options, stopping)
  try {
    await work.checkLogin()
    await work.publishAll()
    await work.trustAll()
    return true
  } catch (error) {
    if (!(error instanceof Stop) && !stopping.signal.aborted) throw error
    console.error(`\n${stopping.signal.aborted ? 'Stopped.' : (error as Error).message}`)
    await work.printState()
    return false
  } finally {
    process.off('SIGINT', stop)
  }
}

class Claim {
  readonly #all: readonly Member[]
  readonly #options: ClaimOptions
  readonly #stopping: AbortController
  /** The packages that have their trusted publisher. npm shows it after the second factor only, so a file remembers them. */
  readonly #trusted: Set<string>
  readonly #trustedFile: string

  constructor(all: readonly Member[], options: ClaimOptions, stopping: AbortController) {
    this.#all = all
    this.#options = options
    this.#stopping = stopping
    this.#trustedFile = join(root, 'node_modules/.retrap', `trusted-${new URL(options.registry).hostname}`)
    this.#trusted = new Set(existsSync(this.#trustedFile) ? readFileSync(this.#trustedFile, 'utf8').split('\n') : [])
  }

  /** Stops unless the person is logged in and may publish in the scope. */
  async checkLogin(): Promise<void> {
    const user = await this.#ask('whoami')
    if (user.code !== undefined) throw new Stop(`npm has no login for ${this.#options.registry}: run npm login`)
    const members = await this.#ask('org', 'ls', SCOPE, '--json')
    if (members.code === 'E404')
      throw new Stop(
        `There is no organisation "${SCOPE}", to which the names @${SCOPE}/… belong. ` +
          `Create it at ${CREATE_ORGANISATION} with the plan for public packages.`,
      )
    const name = user.stdout.trim()
    const role = members.code === undefined ? (JSON.parse(members.stdout) as Record<string, string>)[name] : undefined
    if (role === undefined)
      throw new Stop(
        `${name} is no member of the organisation "${SCOPE}": its owner adds members, or log in as another user`,
      )
    console.log(`${name} (${role} of ${SCOPE}) publishes to ${this.#options.registry}`)
  }

  async publishAll(): Promise<void> {
    const found = await versionsOfAll(this.#options.registry, this.#all)
    const names = this.#all.filter((_, i) => found[i] === undefined)
    console.log(`${this.#all.length - names.length} of ${this.#all.length} names are claimed.`)
    if (names.length === 0) return
    const older = this.#all.filter(({ manifest }, i) => found[i]?.includes(manifest.version) === false).length
    if (older > 0)
      console.log(
        `${older} of them have other versions than this checkout. What is claimed now and needs them can be installed when ` +
          'the workflow has published theirs.',
      )
    await this.#confirm(`Publish ${names.length} packages? A version that is published stays. [y/N] `)
    for (const [i, { manifest }] of names.entries()) {
      console.log(`\n${i + 1} of ${names.length}: ${manifest.name}@${manifest.version}`)
      const file = tarballOf(manifest)
      // Before the publication, of whose end an interrupted claim does not know.
      const tag = `${manifest.name}@${manifest.version}`
      git(root, 'tag', '--force', tag, '--message', tag)
      const ended = await this.#write('publish', file, '--access=public', '--provenance=false')
      // The version arrived before the connection or the client ended.
      const isThere = /previously published version/.test(ended.stderr)
      if (ended.code !== undefined && !isThere) throw this.#failure(`npm publish ${manifest.name}`, ended.code)
    }
  }

  async trustAll(): Promise<void> {
    const left = this.#all.filter(({ manifest }) => !this.#trusted.has(manifest.name))
    if (left.length > 0 && !(await this.#canTrust())) {
      for (const { manifest } of left) console.log(`https://www.npmjs.com/package/${manifest.name}/access`)
      const [owner, repository] = PUBLISHER.repository.split('/')
      throw new Stop(
        `This npm is older than ${LEAST_NPM.join('.')}: update it (npm install -g npm) and run claim again. Or open each page ` +
          `above, and under Trusted Publisher choose GitHub Actions; organization ${owner}, repository ${repository}, ` +
          `workflow ${PUBLISHER.file}, environment ${PUBLISHER.environment}, allowed: npm publish.`,
      )
    }
    if (left.length > 0)
      console.log('\nTrusted publishers. In the browser, choose to skip the second factor for the next 5 minutes.')
    for (const [i, { manifest }] of left.entries()) {
      console.log(`\n${i + 1} of ${left.length}: ${manifest.name}`)
      const { repository, file, environment } = PUBLISHER
      const to = [`--repository=${repository}`, `--file=${file}`, `--environment=${environment}`, '--allow-publish']
      const ended = await this.#write('trust', 'github', manifest.name, ...to, '--yes')
      if (ended.code === 'E409') console.log(`It has a trusted publisher; see: npm trust list ${manifest.name}`)
      else if (ended.code !== undefined) throw this.#failure(`npm trust github ${manifest.name}`, ended.code)
      this.#trusted.add(manifest.name)
      writeFileSync(this.#trustedFile, [...this.#trusted].join('\n'))
    }
    console.log(`\nAll ${this.#all.length} names are claimed, and ${PUBLISHER.file} publishes their next versions.`)
    console.log('Push the tags of the versions: git push origin --tags')
  }

  /** Prints how far the claim has come, as the registry has it. */
  async printState(): Promise<void> {
    const missing = await missingNames(this.#options.registry, this.#all)
    const trusted = this.#all.filter(({ manifest }) => this.#trusted.has(manifest.name)).length
    const all = this.#all.length
    console.error(`${all - missing.length} of ${all} names are claimed; ${trusted} have their trusted publisher.`)
    if (missing.length > 0 && missing.length < all)
      console.error(`Each came after all that it depends on, and can be installed. Missing: ${missing.join(', ')}`)
    console.error('npm run release -- claim goes on from there.')
  }

  async #canTrust(): Promise<boolean> {
    const [major = 0, minor = 0] = (await this.#ask('--version')).stdout.split('.').map(Number)
    const [leastMajor, leastMinor] = LEAST_NPM as [number, number]
    return major > leastMajor || (major === leastMajor && minor >= leastMinor)
  }

  async #confirm(question: string): Promise<void> {
    const terminal = createInterface({ input: process.stdin, output: process.stdout })
    terminal.on('SIGINT', () => this.#stopping.abort())
    try {
      const answer = await terminal.question(question, { signal: this.#stopping.signal })
      if (!/^y(?:es)?$/i.test(answer.trim())) throw new Stop('Nothing was published.')
    } finally {
      terminal.close()
    }
  }

  /** Runs npm to read from the registry. */
  async #ask(...args: readonly string[]): Promise<Npm> {
    return outcomeOf(await execa('npm', args, { ...this.#settings(), stdin: 'ignore' }))
  }

  /** Runs npm to write to the registry. Its client asks for the second factor; this waits where the registry wants that. */
  async #write(...args: readonly string[]): Promise<Npm> {
    const { pauseMs } = this.#options
    const { signal } = this.#stopping
    for (let wait = FIRST_WAIT; ;) {
      await sleep(pauseMs, undefined, { signal })
      const ended = await execa('npm', args, {
        ...this.#settings(),
        // npm asks only where both are a terminal.
        stdin: 'inherit',
        stdout: 'inherit',
        stderr: ['inherit', 'pipe'],
      })
      // While npm waits for the second factor, it reads Ctrl-C itself.
      if (signal.aborted || /^npm (?:error|ERR!) canceled$/m.test(ended.stderr)) throw new Stop('Stopped.')
      const outcome = outcomeOf({ ...ended, stdout: '' })
      if (outcome.code === 'EOTP') console.log('The second factor was wrong or came too late: once more.')
      else if (outcome.code === 'E429') {
        console.log(`The registry asks for fewer requests: waiting ${Math.ceil((wait * pauseMs) / 1000)} s.`)
        await sleep(wait * pauseMs, undefined, { signal })
        wait = Math.min(wait * 2, LONGEST_WAIT)
      } else return outcome
    }
  }

  #settings(): { readonly cwd: string; readonly env: Readonly<Record<string, string>>; readonly reject: false } {
    // Under `npm run -s` npm would not say why it fails.
    const env = { npm_config_registry: this.#options.registry, npm_config_loglevel: 'warn' }
    return { cwd: dirname(tarballOf(this.#all[0]!.manifest)), env, reject: false }
  }

  #failure(what: string, code: string): Stop {
    const hints: Readonly<Record<string, string>> = {
      E401: 'The login has ended: run npm login.',
      ENEEDAUTH: 'The login has ended: run npm login.',
      E403: 'The reason is above. npm publishes for accounts with a second factor only: npm profile enable-2fa.',
      E404: `This login may not write to @${SCOPE}, and a token never may: run npm login.`,
    }
    return new Stop(`${what} failed with ${code}. ${hints[code] ?? 'The reason is above.'}`)
  }
}

/** How an npm command ended; without a `code` it ended well. */
interface Npm {
  readonly stdout: string
  readonly stderr: string
  readonly code?: string
}

function outcomeOf({ failed, stdout, stderr }: { failed: boolean; stdout?: string; stderr?: string }): Npm {
  const texts = { stdout: stdout ?? '', stderr: stderr ?? '' }
  if (!failed) return texts
  return { ...texts, code: /^npm (?:error|ERR!) code (\w+)/m.exec(texts.stderr)?.[1] ?? 'an error' }
}
