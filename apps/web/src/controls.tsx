// Controls of the first page, and of panels.
import { type ComponentChild, type ComponentChildren, render } from 'preact'
import { useState } from 'preact/hooks'

interface AroundProps {
  readonly children: ComponentChildren
}

/** Shows a page's content, whose program has loaded, in place of the text for browsers without it. */
export function showPage(content: ComponentChild): void {
  const place = document.getElementById('app')!
  place.replaceChildren()
  render(content, place)
}

interface SitePageProps extends AroundProps {
  /** The site's name. */
  readonly brand: ComponentChild
  readonly look?: string
}

/** The documentation's address, which the build says. */
declare const DOCUMENTATION: string

/** A page of the site, with the links to the others. */
export const SitePage = ({ brand, look = '', children }: SitePageProps) => (
  <div class={`page ${look}`}>
    <header>
      {brand}
      <nav>
        <a href={DOCUMENTATION}>Docs</a> <a href="tools.html">Tools</a> <a href="about.html">About</a>
      </nav>
    </header>
    <main>{children}</main>
  </div>
)

/** A mistake or a failure, which a screen reader says at once. */
export const Alert = ({ children }: AroundProps) => (
  <p class="wrong" role="alert">
    {children}
  </p>
)

interface FileButtonProps extends AroundProps {
  /** Takes the chosen files, of which there is at least one. */
  readonly take: (first: File, all: readonly File[]) => void
  /** The user can choose several files, or a folder; absent: one file. */
  readonly many?: 'files' | 'folder'
  readonly isTool?: boolean
  readonly disabled?: boolean
}

/** A button that lets the user choose files. */
export const FileButton = ({ take, many, isTool = false, disabled = false, children }: FileButtonProps) => (
  <label class={isTool ? 'button tool file' : 'button file'}>
    {children}
    <input
      type="file"
      multiple={many === 'files'}
      ref={(input) => {
        if (many === 'folder') input?.setAttribute('webkitdirectory', '')
      }}
      disabled={disabled}
      onChange={(event) => {
        const all = [...(event.currentTarget.files ?? [])]
        // Reset, so that the same files can be chosen again.
        event.currentTarget.value = ''
        if (all.length > 0) take(all[0]!, all)
      }}
    />
  </label>
)

interface DropPlaceProps extends AroundProps {
  readonly take: (files: readonly File[]) => void
}

/** A place that the user drops files on. */
export function DropPlace({ take, children }: DropPlaceProps) {
  const [isOver, setOver] = useState(false)
  return (
    <div
      class={isOver ? 'drop over' : 'drop'}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        take([...(event.dataTransfer?.files ?? [])])
      }}
    >
      {children}
    </div>
  )
}
