import { type Command, Option } from 'commander'

/** A JSON schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>

/** How an object of a machine file becomes the text of an option: `HEAD,key=value,…`. */
export interface Shape {
  /** The key whose value may come first, without the key. */
  readonly head?: string
  /** The key that a text stands for which is given instead of an object. */
  readonly short: string
  /** The keys, beside the head, of an object with this head. Undefined: the parser of the option judges the head. */
  readonly keys: (head: string) => readonly string[] | undefined
  /** Known values of the head, for a schema. */
  readonly heads?: readonly string[]
  /** Keys that may be repeated. */
  readonly repeatable?: readonly string[]
  /** Keys that name files. */
  readonly paths: readonly string[]
  /** Takes a text apart that is not as on the command line and stands for more than one key. @throws CliError */
  readonly split?: (text: string) => Readonly<Record<string, string | boolean>>
  /** Joins head and pairs; default with commas. */
  readonly text?: (values: Readonly<Record<string, string>>) => string
}

/**
 * An option of a machine: the single source for the command line, its help, machine files, their schema and a board's checks.
 */
export interface OptionRow {
  /** `--name <value>`, in commander's form; a switch has no value. */
  readonly flags: string
  readonly help: string
  /** All allowed values. */
  readonly choices?: readonly string[]
  /** Parses the value, or throws a CliError that explains the mistake; default: the text itself. */
  readonly parse?: (text: string, command: Command) => unknown
  /** Reads a value of an option that may be repeated: its values make a list. @param before - the values so far */
  each?(text: string, before: readonly unknown[], command: Command): unknown
  /** Attribute of another option, to whose list this option's values are added. */
  readonly into?: string
  /** The default value, and its form in help. */
  readonly default?: readonly [value: unknown, shown?: string]
  /** The environment variable that may have the value. */
  readonly env?: string
  /** The value is the name of a file: a machine file's relative ones start from its folder. */
  readonly isFile?: true
  /** The value has parts: a machine file may have an object. */
  readonly shape?: Shape
  /** The value in a machine file that is no text. */
  readonly schema?: Schema
  /** An Arm board does not have the option: a remedy. */
  readonly pcOnly?: string
}

/** Advice for an option without a replacement. */
export const LEAVE_OUT = 'leave it out'

/** Options with their heading in the help. */
export type OptionGroup = readonly [heading: string, rows: readonly OptionRow[]]

/** An option of a command that a table has. */
export class TableOption extends Option {
  readonly row: OptionRow

  constructor(row: OptionRow, command: Command) {
    super(row.flags, row.help)
    this.row = row
    const { choices, parse } = row
    if (choices !== undefined) this.choices(choices)
    if (parse !== undefined) this.argParser((text) => parse(text, command))
    if (this.isRepeatable) this.argParser((text, before?: readonly unknown[]) => this.#add(text, before, command))
    if (row.default !== undefined) this.default(...row.default)
    if (row.env !== undefined) this.env(row.env)
  }

  #add(text: string, before: readonly unknown[] = [], command: Command): readonly unknown[] | undefined {
    const { row } = this
    if (row.into === undefined) return [...before, row.each!(text, before, command)]
    const others = (command.getOptionValue(row.into) as readonly unknown[] | undefined) ?? []
    command.setOptionValueWithSource(row.into, [...others, row.each!(text, others, command)], 'cli')
    return undefined
  }

  /** Whether the option may be repeated: its values make a list. */
  get isRepeatable(): boolean {
    return this.row.each !== undefined
  }
}

export function addOptions(command: Command, ...groups: readonly OptionGroup[]): Command {
  for (const [heading, rows] of groups) {
    command.optionsGroup(heading)
    for (const row of rows) command.addOption(new TableOption(row, command))
  }
  return command
}

export const tableOptions = (command: Command): readonly TableOption[] =>
  command.options.filter((option) => option instanceof TableOption)
