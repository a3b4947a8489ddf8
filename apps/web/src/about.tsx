// The About page: licences, and files from Debian with their sources. No code of a machine is loaded.
import './about.css'
import { useEffect, useState } from 'preact/hooks'
import { Alert, showPage, SitePage } from './controls.tsx'
import { sizeOf } from './files.ts'

interface ListedFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** A package of Debian, as `debian/packages.json` has it. */
interface ListedPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  readonly purpose: string
  readonly files: readonly ListedFile[]
  readonly copyrights: readonly string[]
  readonly licences: readonly string[]
  readonly sources: readonly {
    readonly name: string
    readonly version: string
    readonly files: readonly ListedFile[]
  }[]
}

/** The files beside the site. */
interface Beside {
  readonly packages: readonly ListedPackage[]
  /** Whether the site has a BIOS, or fetches one when a machine needs it. */
  readonly hasFirmware: boolean
}

async function look(): Promise<Beside> {
  const [packages, firmware] = await Promise.all(
    ['debian/packages.json', 'firmware/firmware.json'].map(async (path): Promise<unknown> => {
      const response = await fetch(path)
      return response.ok ? response.json() : null
    }),
  )
  return { packages: (packages ?? []) as readonly ListedPackage[], hasFirmware: firmware !== null }
}

function About() {
  const [beside, setBeside] = useState<Beside | null>(null)
  const [error, setError] = useState('')
  useEffect(() => {
    look().then(setBeside, (thrown: unknown) => setError(thrown instanceof Error ? thrown.message : String(thrown)))
  }, [])
  return (
    <SitePage
      look="about"
      brand={
        <a class="brand" href="./">
          retrap
        </a>
      }
    >
      <h1>About this site</h1>
      <p>
        The pages and the machine are <a href="https://github.com/retrap/retrap">retrap</a>, under the{' '}
        <a href="LICENSE.txt">MIT licence</a>. Others' work in them is in the{' '}
        <a href="THIRD-PARTY-NOTICES.txt">notices of third parties</a>.
      </p>
      <h2>From Debian</h2>
      <p>
        Firmware and systems are separate files with licences of their own. Each can be replaced: by another file of its
        name on the server, or, for firmware, by a file that you drop on the <a href="./">start page</a>.
      </p>
      {error !== '' && <Alert>{error}</Alert>}
      {beside?.packages.map((one) => (
        <Package key={`${one.name} ${one.architecture}`} one={one} />
      ))}
      {beside !== null && <Missing {...beside} />}
    </SitePage>
  )
}

/** Firmware that the site could have. */
function Missing({ packages, hasFirmware }: Beside) {
  if (packages.some(({ name }) => name === 'seabios')) return null
  if (hasFirmware)
    return <p class="soft">SeaBIOS is fetched from Debian when a machine first needs it, and is listed here then.</p>
  return (
    <p class="soft">
      This site has no BIOS. It comes with a site that is built on a computer with a network: <code>npm run build</code>
      , and with Debian's kernel and busybox: <code>npm run build -- --debian</code>.
    </p>
  )
}

function Package({ one }: { one: ListedPackage }) {
  const { name, version, architecture, purpose, files, copyrights, licences, sources } = one
  return (
    <section class="panel" aria-label={`${name} ${architecture}`}>
      <h3>
        {name} {version} <span class="soft">({architecture})</span>
      </h3>
      <p>{purpose}</p>
      <Files of="Files" files={files} />
      <p>
        Licences:{' '}
        {[...copyrights, ...licences].map((path, i) => (
          <>
            {i > 0 && ', '}
            <a href={path}>{titleOf(path)}</a>
          </>
        ))}
      </p>
      {sources.map((source) =>
        source.files.length > 0 ? (
          <Files of={`Source: ${source.name} ${source.version}`} files={source.files} />
        ) : (
          <p>
            Source:{' '}
            <a
              href={`https://snapshot.debian.org/package/${encodeURIComponent(source.name)}/${encodeURIComponent(source.version)}/`}
            >
              {source.name} {source.version} at Debian
            </a>
          </p>
        ),
      )}
    </section>
  )
}

/** `copyright`, `copyright of libc6`, or a licence's name. */
const titleOf = (path: string): string =>
  path
    .replace(/^.*\//, '')
    .replace(/\.txt$/, '')
    .replace(/^copyright-/, 'copyright of ')

function Files({ of, files }: { of: string; files: readonly ListedFile[] }) {
  return (
    <>
      <h4>{of}</h4>
      <ul class="listed">
        {files.map(({ path, bytes, sha256 }) => (
          <li key={path}>
            <a href={path}>{path.replace(/^debian\/sources\//, '')}</a>, {sizeOf(bytes)}
            <code>{sha256}</code>
          </li>
        ))}
      </ul>
    </>
  )
}

showPage(<About />)
