// Controls of several panels and pages.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'

interface AroundProps {
  readonly children: ComponentChildren
}

/** A mistake or a failure, which a screen reader says at once. */
export const Alert = ({ children }: AroundProps) => (
  <p class="wrong" role="alert">
    {children}
  </p>
)

interface ActionFormProps extends AroundProps {
  readonly submit: () => void
}

/** A form in one row. */
export const ActionForm = ({ submit, children }: ActionFormProps) => (
  <form
    class="actions"
    onSubmit={(event) => {
      event.preventDefault()
      submit()
    }}
  >
    {children}
  </form>
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

interface ChoiceProps<T extends string> {
  readonly label: string
  /** Name of the field in its form. */
  readonly name?: string
  readonly value: T
  /** The values and their names, for people. */
  readonly choices: readonly (readonly [T, string])[]
  readonly change: (value: T) => void
}

/** A field with a list of values. */
export const Choice = <T extends string>({ label, name = '', value, choices, change }: ChoiceProps<T>) => (
  <label>
    {label}
    <select name={name} value={value} onChange={(event) => change(event.currentTarget.value as T)}>
      {choices.map(([one, text]) => (
        <option key={one} value={one}>
          {text}
        </option>
      ))}
    </select>
  </label>
)

/** The head of a table. */
export const TableHead = ({ columns }: { columns: readonly string[] }) => (
  <thead>
    <tr>
      {columns.map((one) => (
        <th key={one}>{one}</th>
      ))}
    </tr>
  </thead>
)
