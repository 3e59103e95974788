# Draws what report.py wrote:
#
#   gnuplot -c bench/plots.gp OUT MACHINE
#
# OUT/{ns_per_read,context,tail,scaling,offset}.{svg,png}. Colours are Okabe and
# Ito's, which the colour-blind tell apart.

out = ARG1
machine = ARG2

kGrey = 0x999999
kBlue = 0x0072b2
kOrange = 0xe69f00
colour(group) = group == 0 ? kGrey : group == 1 ? kBlue : kOrange
array kColours[6] = [0x000000, 0x56b4e9, 0x009e73, 0x0072b2, 0xe69f00, 0xd55e00]
array kDashes[6] = [1, 1, 1, 1, 1, 2]

kLongestBar = 40.0  # ns; longer ones are cut, and say so
clip(ns) = ns < kLongestBar ? ns : kLongestBar
label(ns) = ns < kLongestBar ? sprintf("%.2f", ns) : sprintf("%.0f →", ns)

# Bars from the top: their place (0, -1, ...), label, ns, colour.
bars(file) = sprintf("plot '%s' \
    using (clip($3) / 2):1:(clip($3) / 2):(0.36):(colour($4)):ytic(2) \
      with boxxyerror lc rgb variable notitle, \
    '' using (clip($3)):1:(label($3)) with labels left offset 0.5,0 notitle, \
    NaN with boxes lc rgb kGrey title 'the counter alone', \
    NaN with boxes lc rgb kBlue title 'vvar', \
    NaN with boxes lc rgb kOrange title 'others'", file)

# A line for each block, whose first line is its title.
lines(file, style, blocks) = sprintf("plot for [i = 0:%d] '%s' \
    index i using 1:2 with %s lw 2 dt kDashes[i + 1] \
    lc rgb kColours[i + 1] title columnheader(1)", blocks - 1, file, style)

do for [format in "svg png"] {
  if (format eq "svg") {
    terminal = "set terminal svg size %d,%d font 'sans,14' background 'white'"
  } else {
    terminal = "set terminal pngcairo size %d,%d font 'sans,11'"
  }

  # --- Cost -------------------------------------------------------------------
  do for [name in "ns_per_read context"] {
    file = out."/".name.".dat"
    if (system("test -s '".file."' && echo 1") eq "1") {
      stats file using 1 nooutput
      eval sprintf(terminal, 960, 150 + 28 * (STATS_records + 1))
      set output sprintf("%s/%s.%s", out, name, format)
      set title (name eq "context" ? \
        "What a read adds to a turn of dependent work\n" : \
        "Cost of one read of the time, back to back\n").machine noenhanced
      set xlabel (name eq "context" ? "ns added (medians of batches)" : \
        "ns per read (median of batches)")
      set xrange [0:kLongestBar * 1.12]
      set yrange [STATS_min - 0.7:0.7]
      unset ylabel
      set ytics noenhanced nomirror
      set grid xtics lt 1 lc rgb "#dddddd"
      set style fill solid noborder
      set key above
      eval bars(file)
      unset output
    }
  }
  reset

  # --- Tails ------------------------------------------------------------------
  if (system("test -s '".out."/tail_vvar.dat' && echo 1") eq "1") {
    eval sprintf(terminal, 1320, 560)
    set output sprintf("%s/tail.%s", out, format)
    set multiplot layout 1,3 title \
      "Share of reads that took longer; each timed between two counter reads\n" \
      .machine \
      noenhanced
    set logscale xy
    set xrange [10:3e7]
    set yrange [1e-9:3]
    set format x "10^{%L}"
    set format y "10^{%L}"
    set xlabel "ns"
    set ylabel "share of the reads that took longer"
    set grid xtics ytics lt 1 lc rgb "#dddddd"
    set key at graph 0.97, graph 0.88 right top title "writer on another CPU"
    do for [reader in "vvar seqlock vdso"] {
      file = sprintf("%s/tail_%s.dat", out, reader)
      stats file using 2 nooutput
      blocks = STATS_blocks
      unset label
      if (reader eq "vvar") { set title "vvar, ordered" }
      if (reader eq "seqlock") {
        set title "plain seqlock"
        set label 1 "reaches the right edge: did not return" \
          at graph 0.97, graph 0.93 right
      }
      if (reader eq "vdso") { set title "kernel's vDSO (no writer of ours)" }
      eval lines(file, "lines", blocks)
    }
    unset multiplot
    unset output
    reset
  }

  # --- Readers and timelines --------------------------------------------------
  eval sprintf(terminal, 1100, 480)
  set output sprintf("%s/scaling.%s", out, format)
  set multiplot layout 1,2 title machine noenhanced
  set grid xtics ytics lt 1 lc rgb "#dddddd"
  set key top left Left reverse noenhanced
  set xtics 1
  set xrange [0.5:*]
  set offsets 0, 0.5, graph 0.3, 0
  set yrange [0:*]
  do for [what in "readers timelines"] {
    file = sprintf("%s/%s.dat", out, what)
    stats file using 2 nooutput
    blocks = STATS_blocks
    set title (what eq "readers" ? "One read, beside other readers" : \
      "One tick of the writer")
    set xlabel (what eq "readers" ? "readers of one page, each on its CPU" : \
      "timelines that a tick updates")
    set ylabel (what eq "readers" ? "ns per read of one reader" : "ns per tick")
    eval lines(file, "linespoints pt 7", blocks)
  }
  unset multiplot
  unset output
  reset

  # --- Offset -----------------------------------------------------------------
  eval sprintf(terminal, 960, 620)
  set output sprintf("%s/offset.%s", out, format)
  set multiplot layout 2,2 title \
    "Offset to the kernel's clock: median and range in 200 slices of time\n" \
    .machine noenhanced
  set xlabel "seconds"
  set xrange [*:*]
  set yrange [-40:40]
  set ytics auto
  set grid xtics ytics lt 1 lc rgb "#dddddd"
  unset key
  do for [clock in "realtime monotonic"] {
    do for [place in "shared_page in_process"] {
      set title (clock eq "realtime" ? "REALTIME, " : "MONOTONIC, ") \
        .(place eq "shared_page" ? "page of another process" \
                                 : "clock of the process itself")
      set ylabel "kernel - vvar, ns"
      file = sprintf("%s/offset_%s_%s.dat", out, place, clock)
      set label 1 "bar of the 99th percentile: 30 ns" \
        at graph 0.98,first 34 right tc rgb "#777777"
      plot file using 1:2:4 with filledcurves lc rgb 0xaec7e8, \
        file using 1:3 with lines lc rgb kBlue, \
        30 with lines dt 2 lc rgb "#777777", \
        -30 with lines dt 2 lc rgb "#777777"
    }
  }
  unset multiplot
  unset output
  reset
}
