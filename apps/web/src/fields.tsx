// Forms, fields and tables of panels: the first page loads none of them.
import type { ComponentChildren, PartialInputHTMLAttributes } from 'preact'

interface ActionFormProps {
  readonly children: ComponentChildren
  /** The form's class. */
  readonly look?: string
  readonly submit: () => void
}

/** A form, in one row unless it looks otherwise. */
export const ActionForm = ({ look = 'actions', submit, children }: ActionFormProps) => (
  <form
    class={look}
    onSubmit={(event) => {
      event.preventDefault()
      submit()
    }}
  >
    {children}
  </form>
)

interface TextFieldProps extends Omit<PartialInputHTMLAttributes<HTMLInputElement>, 'label' | 'type'> {
  readonly label: string
  /** The label's class. */
  readonly look?: string
  readonly type?: 'search' | 'url'
  readonly list?: string
  readonly change: (text: string) => void
}

/** A field for a line of text. */
export const TextField = ({ label, look, change, ...input }: TextFieldProps) => (
  <label class={look}>
    {label}
    {/* Types allow some of these only of certain types of input. */}
    <input type="text" {...(input as object)} onInput={(event) => change(event.currentTarget.value)} />
  </label>
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

interface TableProps {
  readonly caption?: string
  /** Titles of the columns. */
  readonly columns?: readonly string[]
  /** The classes of the columns' cells; `row`: the cell is the head of its row. */
  readonly looks: readonly ('row' | 'code' | 'figure' | '')[]
  readonly rows: readonly (readonly ComponentChildren[])[]
}

/** A table of the cells of its rows. */
export const Table = ({ caption, columns, looks, rows }: TableProps) => (
  <table>
    {caption !== undefined && <caption>{caption}</caption>}
    {columns !== undefined && (
      <thead>
        <tr>
          {columns.map((one) => (
            <th key={one}>{one}</th>
          ))}
        </tr>
      </thead>
    )}
    <tbody>
      {rows.map((cells, i) => (
        <tr key={i}>
          {cells.map((cell, at) =>
            looks[at] === 'row' ? <th scope="row">{cell}</th> : <td class={looks[at] ?? ''}>{cell}</td>,
          )}
        </tr>
      ))}
    </tbody>
  </table>
)

/** A table that scrolls by itself where it is wider than the page. */
export const WideTable = ({ label, ...table }: TableProps & { readonly label: string }) => (
  <div class="scroll" tabIndex={0} role="region" aria-label={label}>
    <Table {...table} />
  </div>
)
