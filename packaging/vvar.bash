# Completion of `vvar` in bash: commands, flags, and what flags may be. To be
# sourced, or installed as bash-completion/completions/vvar; needs no package.

_vvar_values() {
  case $1 in
    --page)
      # Anybody may make files there, and bash expands what it is given: a name
      # with anything for it to expand is nobody's page.
      compgen -G '/dev/shm/vvar.*' |
        sed -n 's|^/dev/shm/vvar\.\([[:alnum:]_.,@%+-]*\)$|\1|p'
      ;;
    --pid) compgen -G '/proc/[0-9]*' | sed 's|^/proc/||' ;;
    --format) echo text json ;;
    --clock)
      echo realtime monotonic monotonic_raw boottime tai realtime_coarse \
        monotonic_coarse
      ;;
    --reference)
      echo kernel kernel-vvar
      compgen -G '/dev/ptp[0-9]*'
      ;;
    --max_error_from) echo kernel chrony chrony: chrony:/run/chrony/chronyd.sock ;;
    --on_step) echo follow slew refuse ;;
    --on_leap) echo step smear ;;
    --fail_on) echo wrong slow note ;;
  esac
}

_vvar_words() {
  case $1 in
    serve)
      echo --page= --tick= --max_age= --reference= --max_error_from= --on_step= \
        --on_leap= --format=
      ;;
    now) echo --page= --clock= --format= ;;
    watch) echo --page= --clock= --seconds= --format= ;;
    dump) echo --page= --format= ;;
    system) echo --fail_on= --format= ;;
    exec) echo --page= --tick= --max_age= -f --offset= --rate= -- ;;
    attach) echo --pid= --page= --detach --format= ;;
    help) echo exec attach ;;
    *) echo serve now watch dump system exec attach help --help --version ;;
  esac
}

_vvar() {
  COMPREPLY=()
  # By the line: whether words end at `=` and `:` depends on the shell's settings.
  local line=${COMP_LINE:0:COMP_POINT} word words command='' i
  word=${line##*[[:space:]]}
  read -ra words <<<"${line%"$word"}"
  for ((i = 1; i < ${#words[@]}; ++i)); do
    case ${words[i]} in
      --)
        # A program's name; its arguments are files, by default.
        if ((i + 1 == ${#words[@]})); then
          mapfile -t COMPREPLY < <(compgen -c -- "$word")
        fi
        return
        ;;
      -*) ;;
      *) command=${command:-${words[i]}} ;;
    esac
  done

  local candidates flag=
  if [[ $word == --*=* ]]; then
    flag=${word%%=*}=
    candidates=$(_vvar_values "${flag%=}")
  else
    candidates=$(_vvar_words "$command")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "${word#"$flag"}")
  # A value or an argument follows: no space.
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]]; then
    compopt -o nospace 2>/dev/null || true
  fi
  # Of what is before the last break in the word, the shell knows.
  local kept=${word%"${word##*["$COMP_WORDBREAKS"]}"}
  for i in "${!COMPREPLY[@]}"; do
    COMPREPLY[i]=$flag${COMPREPLY[i]}
    COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
  done
}

complete -o default -F _vvar vvar
