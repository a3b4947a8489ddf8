// Forms, fields and tables of panels: the first page loads none of them.
import type { ComponentChildren } from 'preact'

interface ActionFormProps {
  readonly children: ComponentChildren
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
